//! The premiere's last scene: a notebook that reports on the title.
//!
//! A notebook needs a kernel, and not every machine has one. Whether the scene is part of a premiere is decided once, as the run
//! is composed, from the kernels that are installed: where Python's is missing the premiere is as it was, and says so.

use std::collections::BTreeSet;
use std::path::Path;

use backlot_department::House;
use backlot_work::{BlobRef, RunSpec, RunStatus, StepState};

/// The scene's step.
const SPEC: &str = include_str!("premiere_report.toml");

/// The step's name.
const STEP: &str = "report";

/// The kernel that the notebook needs, as Jupyter names it.
const KERNEL: &str = "python3";

/// The file of the notebook in a written package.
const FILE: &str = "report.ipynb";

/// Whether the premiere ends with its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// It does.
    Shown,
    /// There is no kernel to run it.
    Absent,
}

impl Scene {
    /// What fits these installed kernels.
    pub(crate) fn for_kernels(kernels: &BTreeSet<String>) -> Scene {
        if kernels.contains(KERNEL) { Scene::Shown } else { Scene::Absent }
    }

    /// What fits this machine.
    pub(crate) fn here() -> Scene {
        Scene::for_kernels(&backlot_notebooks::KernelSearch::from_env().names())
    }

    /// What a person is told, if the premiere goes without.
    pub(crate) fn told(self) -> Option<&'static str> {
        match self {
            Scene::Shown => None,
            Scene::Absent => Some(
                "without its report as a notebook: no Jupyter kernel `python3` is installed; \
                 `backlot doctor --install` or `pip install ipykernel` adds it",
            ),
        }
    }

    /// The premiere with this scene.
    pub(crate) fn compose(self, mut premiere: RunSpec) -> RunSpec {
        if self == Scene::Shown {
            let scene = RunSpec::from_toml(SPEC).expect("invariant: the composition is checked by a test");
            premiere.steps.extend(scene.steps);
        }
        premiere
    }
}

/// The notebook of a premiere that has one.
pub(crate) async fn notebook(
    house: &House,
    status: &RunStatus,
) -> Result<Option<BlobRef>, backlot_work::Error> {
    let steps = house.work.steps(&status.id).await?;
    if !steps.iter().any(|step| step.name == STEP && step.state == StepState::Succeeded) {
        return Ok(None);
    }
    let outputs = house.work.outputs(&status.id, STEP).await?;
    Ok(BlobRef::from_value(&outputs["notebook"]))
}

/// Writes the notebook of a premiere beside its package, if it has one.
pub(crate) async fn export(house: &House, status: &RunStatus, directory: &Path) -> Result<(), String> {
    if let Some(blob) = notebook(house, status).await.map_err(|error| error.to_string())? {
        let to = directory.join(FILE);
        house.store.fetch_to(&blob.digest, &to).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Where a person finds it: the file, or the page of the console.
pub(crate) fn place(out: Option<&Path>, address: Option<&str>, run: &str) -> String {
    let page = format!("/notebooks/{run}/{STEP}");
    match (out, address) {
        (Some(out), _) => out.join(FILE).display().to_string(),
        (None, Some(address)) => format!("{address}{page}"),
        (None, None) => format!("start `backlot up` and open {page}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_there_where_pythons_kernel_is() {
        let kernels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(Scene::for_kernels(&kernels(&["ir", "python3"])), Scene::Shown);
        assert_eq!(Scene::for_kernels(&kernels(&["ir"])), Scene::Absent);
        assert!(Scene::Absent.told().unwrap().contains("ipykernel") && Scene::Shown.told().is_none());
    }

    #[test]
    fn the_composition_is_sound_with_the_report_and_without() {
        let premiere = crate::premiere::spec();
        let with = Scene::Shown.compose(premiere.clone());
        with.check().unwrap();
        assert_eq!(with.steps.len(), premiere.steps.len() + 1);
        assert_eq!(with.steps.last().unwrap().kind_name(), backlot_notebooks::KIND);
        assert_eq!(Scene::Absent.compose(premiere.clone()), premiere);
    }
}
