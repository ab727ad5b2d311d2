//! The settings, with bookstore's names: the section `[bookstore]` of the house's configuration and the `JPYNB_S3_*` variables.
//!
//! Without a bucket the house's own store is the bookstore, and everything works; with one, saves and what is published go to
//! it as well, under the keys that bookstore writes, so tools that read that bucket go on working.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// The version of bookstore whose API this is.
pub const RELEASE: &str = "2.5.1";

/// The bucket's name where the house's own store is the bookstore.
pub const HOUSE: &str = "backlot";

/// The settings.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder in which people's notebooks lie; `notebooks` in the home if it is not set.
    pub root: Option<PathBuf>,
    /// The shelf of what people work on.
    pub workspace_prefix: String,
    /// The shelf of what was published.
    pub published_prefix: String,
    /// Whether notebooks can be cloned from buckets.
    pub enable_s3_cloning: bool,
    /// The folder below which notebooks can be cloned from files; none can if it is not set.
    pub fs_cloning_basedir: Option<PathBuf>,
    /// The bucket; empty for the house's own store.
    pub s3_bucket: String,
    /// Where the bucket is.
    pub s3_endpoint_url: String,
    /// Its region.
    pub s3_region_name: String,
    /// Read from `JPYNB_S3_ACCESS_KEY_ID` only: a secret has no place in a file that is shown.
    #[serde(skip)]
    pub s3_access_key_id: Option<String>,
    /// Read from `JPYNB_S3_SECRET_ACCESS_KEY` only.
    #[serde(skip)]
    pub s3_secret_access_key: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            root: None,
            workspace_prefix: "workspace".to_owned(),
            published_prefix: "published".to_owned(),
            enable_s3_cloning: true,
            fs_cloning_basedir: None,
            s3_bucket: String::new(),
            s3_endpoint_url: "https://s3.amazonaws.com".to_owned(),
            s3_region_name: "us-east-1".to_owned(),
            s3_access_key_id: None,
            s3_secret_access_key: None,
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("root", &self.root)
            .field("s3_bucket", &self.s3_bucket)
            .field("s3_endpoint_url", &self.s3_endpoint_url)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Fills in what the environment says; it counts over the file.
    pub fn with_env(mut self, variable: &dyn Fn(&str) -> Option<String>) -> Settings {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(bucket) = given("JPYNB_S3_BUCKET") {
            self.s3_bucket = bucket;
        }
        if let Some(endpoint) = given("JPYNB_S3_ENDPOINT_URL") {
            self.s3_endpoint_url = endpoint;
        }
        if let Some(region) = given("JPYNB_S3_REGION_NAME") {
            self.s3_region_name = region;
        }
        self.s3_access_key_id = given("JPYNB_S3_ACCESS_KEY_ID").or(self.s3_access_key_id);
        self.s3_secret_access_key = given("JPYNB_S3_SECRET_ACCESS_KEY").or(self.s3_secret_access_key);
        self
    }

    /// Whether a bucket of one's own is set up.
    pub fn has_bucket(&self) -> bool {
        !self.s3_bucket.is_empty()
    }

    /// The name under which clients know the bucket.
    pub fn bucket_name(&self) -> &str {
        if self.has_bucket() { &self.s3_bucket } else { HOUSE }
    }

    /// The folder for cloning from files, if it is set and absolute, as bookstore demands.
    pub fn cloning_folder(&self) -> Option<&Path> {
        self.fs_cloning_basedir.as_deref().filter(|folder| folder.is_absolute())
    }

    /// What works, as `GET /api/bookstore` tells it.
    pub fn features(&self) -> Value {
        json!({
            "bookstore_valid": !self.has_bucket() || !self.s3_endpoint_url.is_empty(),
            "archive_valid": !self.workspace_prefix.is_empty(),
            "publish_valid": self.can_publish(),
            "s3_clone_valid": self.enable_s3_cloning,
            "fs_clone_valid": self.cloning_folder().is_some(),
        })
    }

    /// Whether notebooks can be published.
    pub fn can_publish(&self) -> bool {
        !self.published_prefix.is_empty() && (!self.has_bucket() || !self.s3_endpoint_url.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_counts_over_the_file() {
        let settings: Settings =
            serde_json::from_str(r#"{"s3_bucket": "a", "fs_cloning_basedir": "not/absolute"}"#).unwrap();
        let settings = settings.with_env(&|name| (name == "JPYNB_S3_BUCKET").then(|| "b".to_owned()));
        assert_eq!(settings.bucket_name(), "b");
        assert_eq!(settings.features()["fs_clone_valid"], false);
        assert_eq!(Settings::default().bucket_name(), HOUSE);
        assert!(serde_json::from_str::<Settings>(r#"{"s3_access_key_id": "x"}"#).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = Settings::default().with_env(&|_| Some("hidden".to_owned()));
        assert!(!format!("{settings:?}").contains("s3_secret"));
    }
}
