//! Which notebooks a user trusts: those whose outputs this server saw made, or that the user said so of.
//!
//! A browser runs the JavaScript of a trusted notebook's outputs. Trust is a signature: HMAC-SHA256 over the notebook with a secret
//! of this server, kept as an empty file of that name.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backlot_notebooks_model::json::{Object, Value};
use ring::hmac;

use super::format::for_cells;

/// Signs notebooks.
#[derive(Debug)]
pub(crate) struct Notary {
    key: hmac::Key,
    folder: PathBuf,
}

impl Notary {
    /// The notary whose secret and signatures lie in this folder.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Notary> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("secret");
        let secret = match std::fs::read(&file) {
            Ok(secret) if secret.len() >= 32 => secret,
            _ => {
                let secret: Vec<u8> = crate::chance::bytes(32);
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                options.open(&file)?.write_all(&secret)?;
                secret
            }
        };
        Ok(Notary { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), folder: folder.to_owned() })
    }

    fn signature(&self, notebook: &Value) -> PathBuf {
        let text = super::format::write(notebook.clone());
        self.folder.join(crate::chance::hex(hmac::sign(&self.key, text.as_bytes()).as_ref()))
    }

    /// Tells the client which cells it may trust.
    pub(crate) fn mark(&self, notebook: &mut Value) {
        let has_code =
            notebook.get("cells").and_then(Value::as_array).is_some_and(|cells| cells.iter().any(is_code));
        if has_code {
            let is_trusted = self.is_trusted(notebook);
            mark_all(notebook, is_trusted);
        }
    }

    /// Whether it is signed.
    pub(crate) fn is_trusted(&self, notebook: &Value) -> bool {
        self.signature(notebook).exists()
    }

    /// Signs what a client saves, if every cell with output is trusted.
    pub(crate) fn check_and_sign(&self, notebook: &Value) {
        let cells = notebook.get("cells").and_then(Value::as_array).unwrap_or_default();
        if cells.iter().filter(|cell| is_code(cell)).all(is_safe) {
            self.sign(notebook);
        }
    }

    /// Signs it.
    pub(crate) fn sign(&self, notebook: &Value) {
        if let Err(error) = std::fs::write(self.signature(notebook), b"") {
            tracing::warn!(%error, "a notebook's signature could not be kept");
        }
    }
}

fn is_code(cell: &Value) -> bool {
    cell.get("cell_type").and_then(Value::as_str) == Some("code")
}

fn is_safe(cell: &Value) -> bool {
    let said = cell.get("metadata").and_then(|metadata| metadata.get("trusted"));
    let is_bare = cell.get("outputs").and_then(Value::as_array).unwrap_or_default().is_empty();
    is_bare || said == Some(&Value::Bool(true))
}

fn mark_all(notebook: &mut Value, is_trusted: bool) {
    for_cells(notebook, |cell| {
        if cell.get("cell_type").and_then(Value::as_str) == Some("code")
            && let Value::Object(metadata) =
                cell.entry("metadata".to_owned()).or_insert_with(|| Value::Object(Object::new()))
        {
            metadata.insert("trusted".to_owned(), Value::Bool(is_trusted));
        }
    });
}
