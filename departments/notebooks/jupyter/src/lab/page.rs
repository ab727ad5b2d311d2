//! The page: HTML that loads JupyterLab's script, and the configuration that tells the script where everything is.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{LIVE_FILE, LIVE_NAME, Lab, read_json};
use crate::kernel::UNTRACKED;
use crate::server::Server;

/// What a URL asks of the page.
#[derive(Debug, Default)]
pub(super) struct Wish<'a> {
    /// `lab`, or `doc` for one document at a time.
    pub(super) is_single: bool,
    pub(super) workspace: &'a str,
    /// The file or folder to open.
    pub(super) tree: &'a str,
    /// The path that is not one of the page's.
    pub(super) not_found: Option<&'a str>,
}

impl Lab {
    /// The page of a URL.
    pub(super) fn page(&self, server: &Server, wish: &Wish<'_>) -> String {
        let base = &server.config.base_url;
        let index = std::fs::read_to_string(self.app.join("static/index.html")).unwrap_or_default();
        let scripts: String = scripts(&index)
            .map(|script| format!("<script defer src=\"{base}static/lab/{script}\"></script>"))
            .collect();
        // Within a script element only `<` could end it.
        let config = self.config(server, wish).to_string().replace('<', "\\u003c");
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>JupyterLab</title>\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <script id=\"jupyter-config-data\" type=\"application/json\">{config}</script>\
             <link rel=\"icon\" type=\"image/svg+xml\" href=\"{base}static/favicons/favicon.ico\" class=\"idle favicon\">\
             <link rel=\"\" type=\"image/svg+xml\" href=\"{base}static/favicons/favicon-busy-1.ico\" class=\"busy favicon\">\
             {scripts}</head><body class=\"jp-ThemedContainer\"><script>{WITHOUT_TOKEN}</script></body></html>"
        )
    }

    fn config(&self, server: &Server, wish: &Wish<'_>) -> Value {
        let base = server.config.base_url.as_str();
        let url = |path: &str| Value::from(format!("/{path}"));
        let full = |path: &str| Value::from(format!("{base}{path}"));
        let mut config = Map::new();
        for (key, path) in [
            ("AppUrl", "lab"),
            ("TreeUrl", "lab/tree"),
            ("SettingsUrl", "lab/api/settings"),
            ("WorkspacesApiUrl", "lab/api/workspaces"),
            ("TranslationsApiUrl", "lab/api/translations"),
            ("ThemesUrl", "lab/api/themes"),
            ("ListingsUrl", "lab/api/listings"),
            ("LicensesUrl", "lab/api/licenses"),
            ("LabextensionsUrl", "lab/extensions"),
        ] {
            let mut short = key.to_owned();
            short[..1].make_ascii_lowercase();
            config.insert(short, url(path));
            config.insert(format!("full{key}"), full(path));
        }
        let mode = if wish.is_single { "single-document" } else { "multiple-document" };
        let fields = json!({
            "appName": "JupyterLab", "appNamespace": "lab", "appVersion": self.version(), "baseUrl": base, "wsUrl": "",
            "fullStaticUrl": format!("{base}static/lab"), "mode": mode, "workspace": wish.workspace, "treePath": wish.tree,
            "preferredPath": "/", "serverRoot": server.root(), "notebookVersion": "[2, 21, 1]", "store_id": 0,
            "terminalsAvailable": server.config.terminals, "ignorePlugins": [], "cacheFiles": true, "devMode": false,
            "exposeAppInBrowser": false, "quitButton": server.config.may_shut_down, "delete_to_trash": false,
            "allow_hidden_files": false, "copyAbsolutePath": false, "notebookStartsKernel": true,
            // What needs pip, a build or the internet is not offered.
            "buildAvailable": false, "buildCheck": false, "news": { "disabled": true },
            "extensionManager": { "name": "read-only", "can_install": false, "install_path": null },
            "federated_extensions": self.federated(), "disabledExtensions": self.disabled(), "untracked_message_types": UNTRACKED,
            "mathjaxConfig": "TeX-AMS_HTML-full,Safe", "fullMathjaxUrl": "",
        });
        if let Value::Object(fields) = fields {
            config.extend(fields);
        }
        if let Some(path) = wish.not_found {
            config.insert("notFoundUrl".to_owned(), Value::from(path));
        }
        Value::Object(config)
    }

    fn version(&self) -> String {
        let package = read_json(&self.app.join("static/package.json")).unwrap_or_default();
        package["jupyterlab"]["version"].as_str().unwrap_or_default().to_owned()
    }

    fn federated(&self) -> Vec<Value> {
        let installed = self.installed_extensions();
        let builds = installed.iter().filter_map(|(_, package)| {
            let build = package["jupyterlab"]["_build"].as_object()?;
            let mut extension = Map::new();
            extension.insert("name".to_owned(), package["name"].clone());
            for key in ["load", "extension", "mimeExtension", "style"] {
                if let Some(value) = build.get(key) {
                    extension.insert(key.to_owned(), value.clone());
                }
            }
            extension.insert("entrypoints".to_owned(), build.get("entrypoints").cloned().unwrap_or_default());
            Some(Value::Object(extension))
        });
        // Our own: a run that outlived its page is shown live in the next.
        let own = json!({ "name": LIVE_NAME, "load": LIVE_FILE, "extension": "./extension" });
        builds.chain([own]).collect()
    }

    /// Extensions that the installation's own configuration or other extensions switch off.
    fn disabled(&self) -> Vec<String> {
        // Whether to tell users of news from elsewhere is not asked: this server fetches none.
        let mut disabled = vec!["@jupyterlab/apputils-extension:announcements".to_owned()];
        let own = read_json(&self.app.join("settings/page_config.json")).unwrap_or_default();
        match &own["disabledExtensions"] {
            Value::Object(map) => {
                disabled
                    .extend(map.iter().filter(|(_, is_off)| **is_off == true).map(|(name, _)| name.clone()));
            }
            Value::Array(names) => disabled.extend(names.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => {}
        }
        for (_, package) in self.installed_extensions() {
            let others = package["jupyterlab"]["disabledExtensions"].as_array().cloned().unwrap_or_default();
            disabled.extend(others.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        disabled.sort();
        disabled.dedup();
        disabled
    }

    /// The licences of what the page loads.
    pub(super) fn licenses(&self) -> Value {
        let own = read_json(&self.app.join("static/third-party-licenses.json")).unwrap_or(Value::Null);
        json!({ "bundles": { "JupyterLab": own } })
    }

    /// Where the page's files are.
    pub(super) fn static_folder(&self) -> PathBuf {
        self.app.join("static")
    }
}

/// The scripts that the wheel's own page loads, below its static folder.
fn scripts(index: &str) -> impl Iterator<Item = &str> {
    let sources = index.split("<script ").skip(1).filter_map(|tag| tag.split('>').next());
    let sources = sources.filter_map(|tag| tag.split("src=\"").nth(1)?.split('"').next());
    sources.filter_map(|source| source.split_once("fullStaticUrl}}/").map(|(_, file)| file))
}

/// Takes a token out of the address bar; the cookie has taken its place.
const WITHOUT_TOKEN: &str = "(function(){var u=new URL(window.location.href);if(u.searchParams.has('token')){\
    u.searchParams.delete('token');window.history.replaceState({},'',u.href);}})();";

/// What is shown where JupyterLab is not installed.
pub(super) fn missing(base: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backlot notebooks</title>\
         <style>body{{font:16px system-ui;max-width:40rem;margin:20vh auto;padding:0 1rem;line-height:1.5}}code{{font-size:.95em}}</style>\
         <h1>JupyterLab is not installed</h1><p>Its pages come from its Python package. Install it where this server looks, and load this page \
         again: <code>pip install jupyterlab</code>, in the environment that the server was started in (<code>VIRTUAL_ENV</code>, \
         <code>CONDA_PREFIX</code>, or that of the first <code>python3</code> on the <code>PATH</code>).</p>\
         <p>Other clients need no pages: the interface is at <code>{base}api</code>.</p></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_of_a_page_are_found() {
        let index = r#"<head><script id="jupyter-config-data" type="application/json">{{ x }}</script>
            <script defer="defer" src="{{page_config.fullStaticUrl}}/main.ab12.js?v=ab12"></script></head>"#;
        assert_eq!(scripts(index).collect::<Vec<_>>(), ["main.ab12.js?v=ab12"]);
        assert_eq!(scripts("").count(), 0);
    }
}
