//! The few facts of `cargo metadata` that the checks need.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// A package of the workspace or a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The folder of its manifest, below the workspace's root (absolute for packages outside).
    pub(crate) folder: String,
    /// Its SPDX licence expression.
    pub(crate) licence: Option<String>,
    /// The names of the packages in this repository that it depends on, for whatever purpose.
    pub(crate) local_dependencies: Vec<String>,
}

impl Package {
    /// Every package that the metadata lists: with `--no-deps`, the members of the workspace.
    pub(crate) fn all(metadata: &Value) -> Result<Vec<Package>, Failure> {
        let root = metadata["workspace_root"].as_str().ok_or_else(|| misunderstood("workspace_root"))?;
        let packages = metadata["packages"].as_array().ok_or_else(|| misunderstood("packages"))?;
        packages.iter().map(|package| Package::parse(package, root)).collect()
    }

    /// The packages that are built on the platform of the metadata's filter.
    pub(crate) fn resolved(metadata: &Value) -> Result<Vec<Package>, Failure> {
        let nodes = metadata["resolve"]["nodes"].as_array().ok_or_else(|| misunderstood("resolve.nodes"))?;
        let built: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
        let packages = metadata["packages"].as_array().ok_or_else(|| misunderstood("packages"))?;
        let root = metadata["workspace_root"].as_str().unwrap_or_default();
        let is_built = |package: &&Value| package["id"].as_str().is_some_and(|id| built.contains(id));
        packages.iter().filter(is_built).map(|package| Package::parse(package, root)).collect()
    }

    fn parse(package: &Value, root: &str) -> Result<Package, Failure> {
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        let name = text("name").ok_or_else(|| misunderstood("packages.name"))?;
        let manifest = text("manifest_path").ok_or_else(|| misunderstood("packages.manifest_path"))?;
        let folder = Path::new(&manifest).parent().unwrap_or(Path::new(""));
        let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned();
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Only dependencies by path carry one.
        let local = dependencies.filter(|dependency| dependency["path"].is_string());
        let mut local_dependencies: Vec<String> =
            local.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect();
        local_dependencies.retain(|dependency| *dependency != name);
        local_dependencies.sort();
        local_dependencies.dedup();
        let version = text("version").unwrap_or_default();
        Ok(Package { name, version, folder, licence: text("license"), local_dependencies })
    }
}

fn misunderstood(field: &str) -> Failure {
    Failure::new(format!("`cargo metadata` lacks {field}; this cargo is not understood, update xtask"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet() -> Value {
        serde_json::json!({
            "workspace_root": "/ws",
            "packages": [
                { "id": "a", "name": "backlot-work", "version": "0.1.0", "license": "Apache-2.0",
                  "manifest_path": "/ws/foundation/work/Cargo.toml",
                  "dependencies": [
                    { "name": "serde", "path": null, "kind": null },
                    { "name": "backlot-store", "path": "/ws/foundation/store", "kind": "dev" },
                    { "name": "backlot-store", "path": "/ws/foundation/store", "kind": null },
                    { "name": "backlot-work", "path": "/ws/foundation/work", "kind": "dev" } ] },
                { "id": "b", "name": "winapi", "version": "1.0.0", "license": null,
                  "manifest_path": "/elsewhere/winapi/Cargo.toml", "dependencies": [] }
            ],
            "resolve": { "nodes": [{ "id": "a" }] }
        })
    }

    #[test]
    fn members_are_read() {
        let packages = Package::all(&snippet()).unwrap();
        assert_eq!(packages[0].folder, "foundation/work");
        assert_eq!(packages[0].local_dependencies, ["backlot-store"]);
        assert_eq!(packages[1].folder, "/elsewhere/winapi");
    }

    #[test]
    fn what_is_not_built_is_left_out() {
        let packages = Package::resolved(&snippet()).unwrap();
        assert_eq!(packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["backlot-work"]);
        assert!(Package::resolved(&serde_json::json!({ "packages": [] })).is_err());
    }
}
