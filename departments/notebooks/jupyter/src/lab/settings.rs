//! Settings of JupyterLab's plugins: their schemas from the wheel and its extensions, what the user wrote as a file for each.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Lab, json5, packages_in, read_json, schema};
use crate::error::Error;

/// The ending of a file of settings, as jupyterlab_server's.
const SUFFIX: &str = "jupyterlab-settings";

/// The largest file of settings; what a person writes is a thousandth of it.
const MAX_RAW: usize = 1 << 20;

/// A plugin that has settings.
#[derive(Debug)]
struct Plugin {
    id: String,
    schema: PathBuf,
    version: String,
}

impl Lab {
    /// All plugins with settings, those of extensions last.
    fn plugins(&self) -> Vec<Plugin> {
        let own = packages_in(&self.app.join("schemas")).into_iter().map(|folder| {
            let package = read_json(&folder.join("package.json.orig")).unwrap_or_default();
            (folder, package["version"].as_str().unwrap_or_default().to_owned())
        });
        let installed = self.installed_extensions();
        let added = installed.iter().flat_map(|(folder, package)| {
            let version = package["version"].as_str().unwrap_or_default().to_owned();
            packages_in(&folder.join("schemas")).into_iter().map(move |folder| (folder, version.clone()))
        });
        let mut plugins = Vec::new();
        for (folder, version) in own.chain(added) {
            let Some(package) = package_name(&folder) else { continue };
            let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            files.sort();
            for file in files {
                let Some(name) = file.file_stem().map(|name| name.to_string_lossy().into_owned()) else {
                    continue;
                };
                plugins.push(Plugin {
                    id: format!("{package}:{name}"),
                    schema: file,
                    version: version.clone(),
                });
            }
        }
        plugins
    }

    /// The ids, or the models, of all plugins with settings.
    pub(super) fn settings(&self, user: &Path, only_ids: bool) -> Value {
        let overrides = self.overrides();
        let models = self.plugins().into_iter().filter_map(|plugin| {
            if only_ids { Some(json!({ "id": plugin.id })) } else { model(&plugin, user, &overrides) }
        });
        json!({ "settings": models.collect::<Vec<_>>() })
    }

    /// The model of one plugin.
    ///
    /// # Errors
    /// 404 for one that is not known.
    pub(super) fn setting(&self, user: &Path, id: &str) -> Result<Value, Error> {
        let plugin = self.plugins().into_iter().find(|plugin| plugin.id == id);
        let model = plugin.and_then(|plugin| model(&plugin, user, &self.overrides()));
        model.ok_or_else(|| Error::not_found(format!("Settings not found ({id})")))
    }

    /// Keeps what the user wrote.
    ///
    /// # Errors
    /// 404 for a plugin that is not known; 400 for settings that its schema refuses.
    pub(super) fn save_setting(&self, user: &Path, id: &str, raw: &str) -> Result<(), Error> {
        let known = self.setting(user, id)?;
        if raw.len() > MAX_RAW {
            return Err(Error::bad_request(format!("settings have at most {MAX_RAW} bytes")));
        }
        let value = json5::parse(raw)
            .map_err(|fault| Error::bad_request(format!("Failed loading settings ({id}): {fault}")))?;
        if let Some(fault) = schema::fault(&known["schema"], &value) {
            return Err(Error::bad_request(format!("Failed validating settings ({id}): {fault}")));
        }
        let file = user_file(user, id);
        let folder = file.parent().unwrap_or(user);
        std::fs::create_dir_all(folder).map_err(|error| Error::from_io(&error, id))?;
        crate::contents::replace(&file, raw.as_bytes(), id)
    }

    /// Defaults that the installation changes, by plugin.
    fn overrides(&self) -> Value {
        let folder = self.app.join("settings");
        let text = ["overrides.json", "overrides.json5"]
            .iter()
            .find_map(|name| std::fs::read_to_string(folder.join(name)).ok());
        text.and_then(|text| json5::parse(&text).ok()).unwrap_or(Value::Null)
    }
}

/// `name` or `@organisation/name` of a package's folder.
fn package_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    let above = folder.parent()?.file_name()?.to_str()?;
    Some(if above.starts_with('@') { format!("{above}/{name}") } else { name.to_owned() })
}

fn user_file(user: &Path, id: &str) -> PathBuf {
    let (package, plugin) = id.split_once(':').unwrap_or((id, "plugin"));
    user.join("user-settings").join(package).join(format!("{plugin}.{SUFFIX}"))
}

fn model(plugin: &Plugin, user: &Path, overrides: &Value) -> Option<Value> {
    let mut schema = read_json(&plugin.schema)?;
    let changed: Option<&Map<String, Value>> = overrides[&plugin.id].as_object();
    for (key, default) in changed.into_iter().flatten() {
        if let Some(property) = schema["properties"][key].as_object_mut() {
            property.insert("default".to_owned(), default.clone());
        }
    }
    let file = user_file(user, &plugin.id);
    let raw = std::fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
    let parsed = json5::parse(&raw);
    let warning =
        parsed.as_ref().err().map(|fault| format!("Failed loading settings ({}): {fault}", plugin.id));
    let metadata = std::fs::metadata(&file).ok();
    let moment = |time: Option<std::io::Result<std::time::SystemTime>>| time.map(crate::contents::moment);
    let modified = moment(metadata.as_ref().map(std::fs::Metadata::modified));
    Some(json!({
        "id": plugin.id, "schema": schema, "version": plugin.version, "raw": raw, "settings": parsed.unwrap_or_else(|_| json!({})),
        "warning": warning, "last_modified": modified, "created": modified,
    }))
}
