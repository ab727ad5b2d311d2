//! Which build this is.

use serde::Serialize;

/// The version and the commit.
pub(crate) const SHORT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BACKLOT_BUILD_COMMIT"), ")");

/// Everything known about the build.
#[derive(Debug, Serialize)]
pub(crate) struct Build {
    version: &'static str,
    /// The commit it was built from, or `unknown` outside a checkout.
    commit: &'static str,
    profile: &'static str,
    target: &'static str,
    compiler: &'static str,
    departments: Vec<&'static str>,
}

impl Build {
    /// This build, with these departments.
    pub(crate) fn new(departments: impl Iterator<Item = &'static str>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("BACKLOT_BUILD_COMMIT"),
            profile: env!("BACKLOT_BUILD_PROFILE"),
            target: env!("BACKLOT_BUILD_TARGET"),
            compiler: env!("BACKLOT_BUILD_COMPILER"),
            departments: departments.collect(),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { version, commit, profile, target, compiler, departments } = self;
        format!(
            "backlot {version}\ncommit: {commit}\nbuild: {profile} for {target} by {compiler}\ndepartments: {}",
            departments.join(", ")
        )
    }
}
