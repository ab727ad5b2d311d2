//! What `cargo metadata` does not tell of a manifest: whether a dependency and the lints come from the workspace.
//!
//! Manifests are read as lines. That is enough for TOML as people write manifests: a header in brackets, or a key and a
//! value that ends on its line or where its brackets close.

use super::packages::Package;

/// A line for each rule that the manifest `text` of `member` breaks.
pub(crate) fn problems(member: &Package, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let place = format!("{}/Cargo.toml", member.folder);
    let entries = entries(text);
    for entry in entries.iter().filter(|entry| entry.is_dependency()) {
        let name = entry.dependency();
        let is_own = name == member.name && entry.section == "dev-dependencies";
        if !entry.is_from_workspace() && !is_own {
            problems.push(format!(
                "{place}: `{name}` is declared here; declare it in [workspace.dependencies] of the root and write `{name}.workspace = true`"
            ));
        }
    }
    problems.dedup();
    let inherits_lints =
        entries.iter().any(|entry| entry.path() == "lints.workspace" && entry.value == "true");
    if !inherits_lints {
        problems.push(format!("{place}: does not inherit the lints; add `[lints]` with `workspace = true`"));
    }
    problems
}

/// A key with its value, under the header that it stands below.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    section: String,
    key: String,
    value: String,
}

impl Entry {
    fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// `dependencies`, `dev-dependencies`, `build-dependencies`, each also below `target.…`, and each with the
    /// dependency's own table below it.
    fn is_dependency(&self) -> bool {
        self.split_dependency().is_some()
    }

    fn dependency(&self) -> String {
        self.split_dependency().unwrap_or_default().0
    }

    /// The dependency's name, and what follows it in the path of the key.
    fn split_dependency(&self) -> Option<(String, String)> {
        let path = self.path();
        let tables = ["dev-dependencies.", "build-dependencies.", "dependencies."];
        let after_target = path.starts_with("target.");
        let rest = tables.iter().find_map(|table| {
            if after_target {
                path.split_once(&format!(".{table}")).map(|(_, rest)| rest)
            } else {
                path.strip_prefix(table)
            }
        })?;
        let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
        Some((name.to_owned(), field.to_owned()))
    }

    fn is_from_workspace(&self) -> bool {
        let field = self.split_dependency().unwrap_or_default().1;
        let compact: String = self.value.chars().filter(|c| !c.is_whitespace()).collect();
        match field.as_str() {
            "" => compact.starts_with("{workspace=true") || compact.contains(",workspace=true"),
            "workspace" => compact == "true",
            // What a member may add to the workspace's declaration.
            "features" | "optional" => true,
            _ => false,
        }
    }
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    // How many brackets of the last value are open.
    let mut open = 0;
    for line in text.lines() {
        let line = without_comment(line).trim();
        if open > 0 {
            if let Some(entry) = entries.last_mut() {
                entry.value.push_str(line);
            }
            open += depth(line);
        } else if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']', ' ']).replace('"', "");
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().replace('"', ""), value.trim().to_owned());
            open = depth(&value);
            entries.push(Entry { section: section.clone(), key, value });
        }
    }
    entries
}

/// The brackets that a line leaves open.
fn depth(text: &str) -> i32 {
    let mut depth = 0;
    outside_strings(text, |c| match c {
        '[' | '{' => depth += 1,
        ']' | '}' => depth -= 1,
        _ => {}
    });
    depth
}

fn without_comment(line: &str) -> &str {
    let mut comment = None;
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => {
                comment = Some(at);
                break;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    comment.map_or(line, |at| &line[..at])
}

fn outside_strings(text: &str, mut see: impl FnMut(char)) {
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) => see(c),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str) -> Vec<String> {
        let member = Package {
            name: "backlot-store".to_owned(),
            version: "0.1.0".to_owned(),
            folder: "foundation/store".to_owned(),
            licence: None,
            local_dependencies: Vec::new(),
        };
        problems(&member, manifest)
    }

    #[test]
    fn a_manifest_that_leans_on_the_workspace_is_sound() {
        let sound = r#"
            [package]
            name = "backlot-store" # = [
            version.workspace = true
            [lints]
            workspace = true
            [features]
            testing = [
                "dep:x", # [
            ]
            [dependencies]
            serde.workspace = true
            tokio = { workspace = true, features = ["fs"] }
            object_store = { features = [
                "aws",
            ], workspace = true }
            [dependencies.clap]
            workspace = true
            features = ["derive"]
            [dev-dependencies]
            backlot-store = { path = ".", features = ["testing"] }
            [target.'cfg(target_os = "linux")'.dependencies]
            rustix.workspace = true
        "#;
        assert_eq!(check(sound), Vec::<String>::new());
    }

    #[test]
    fn a_version_of_its_own_is_found_wherever_it_stands() {
        let own = [
            "[dependencies]\nserde = \"1\"",
            "[dev-dependencies]\nserde = { version = \"1\", features = [\"workspace=true\"] }",
            "[dependencies.serde]\nversion = \"1\"",
            "[dependencies]\nserde.version = \"1\"",
            "[build-dependencies]\nserde = { path = \"../serde\" }",
            "[target.'cfg(unix)'.dependencies]\nserde = \"1\"",
            "[dependencies]\nbacklot-store = { path = \".\" }",
        ];
        for manifest in own {
            let found = check(&format!("[lints]\nworkspace = true\n{manifest}\n"));
            assert_eq!(found.len(), 1, "{manifest}: {found:?}");
            assert!(found[0].starts_with("foundation/store/Cargo.toml: `"), "{found:?}");
        }
    }

    #[test]
    fn lints_are_inherited() {
        for manifest in
            ["[package]\nname = \"x\"", "[lints]\nworkspace = false", "[lints.rust]\nunsafe_code = \"allow\""]
        {
            let found = check(manifest);
            assert!(found.len() == 1 && found[0].contains("does not inherit"), "{found:?}");
        }
    }
}
