//! Kernelspecs deployed to a fraction of new kernels, promoted, rolled back by hand and by themselves.

use std::path::{Path, PathBuf};

use backlot_jupyter::KernelSearch;
use backlot_jupyter::deploy::{DeployError, Deployments, Refusal};
use backlot_ledger::{Ledger, params};
use serde_json::{Value, json};

use crate::kernels::{kernels, within};
use crate::web::Site;

/// A kernelspec's folder whose program is this.
fn spec(folder: &Path, name: &str, argv: &Value, display_name: &str) -> PathBuf {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let text = json!({"argv": argv, "display_name": display_name, "language": "python"}).to_string();
    std::fs::write(folder.join("kernel.json"), text).unwrap();
    folder
}

fn deployments(folder: &Path) -> (Ledger, Deployments) {
    let ledger = Ledger::open("sqlite::memory:").unwrap();
    let deployments = Deployments::open(&ledger, folder.join("versions")).unwrap();
    (ledger, deployments)
}

#[tokio::test]
async fn versions_are_deployed_promoted_and_brought_back_and_all_is_journalled() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, deployments) = deployments(folder.path());
    let none = KernelSearch::new(Vec::new());
    let one = spec(folder.path(), "mine", &json!(["true"]), "One");
    let refused = deployments.deploy(&none, one.clone(), "mine", 0.1, "ann").await.unwrap_err();
    assert!(matches!(refused, DeployError::NoStable(_)), "{refused}");
    let first = deployments.deploy(&none, one.clone(), "Mine", 1.0, "ann").await.unwrap();
    spec(folder.path(), "mine", &json!(["true"]), "Two");
    let second = deployments.deploy(&none, one, "mine", 0.1, "ann").await.unwrap();
    assert_eq!(second.stable, first.stable);
    assert_ne!(second.canary.as_ref().map(|canary| &canary.version), first.stable.as_ref());
    let site = Site::configured(|config| config.deployments = Some(deployments.clone()));
    let shown = async || {
        let listed = site.ask("GET", "/api/kernelspecs", Value::Null).await.json;
        listed["kernelspecs"]["mine"]["spec"]["display_name"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(shown().await, "One");
    deployments.promote("mine", "ann").await.unwrap();
    assert_eq!(shown().await, "Two");
    assert!(matches!(deployments.promote("mine", "ann").await, Err(DeployError::Refused(Refusal::NoCanary))));
    deployments.roll_back("mine", "ann").await.unwrap();
    assert_eq!(shown().await, "One");
    let actions: Vec<String> = ledger
        .read(|tx| {
            let rows = tx.query("SELECT action FROM ledger_journal ORDER BY id", params![])?;
            rows.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, backlot_ledger::Error>>()
        })
        .await
        .unwrap();
    let expected = ["kernelspec.deploy", "kernelspec.deploy", "kernelspec.promote", "kernelspec.rollback"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn folders_that_hold_no_kernelspec_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_ledger, deployments) = deployments(folder.path());
    let none = KernelSearch::new(Vec::new());
    let empty = spec(folder.path(), "empty", &json!([]), "");
    for (place, name) in [
        (folder.path().to_owned(), "x"),
        (empty, "x"),
        (folder.path().join("absent"), "x"),
        (folder.path().to_owned(), "../x"),
    ] {
        let refused = deployments.deploy(&none, place, name, 1.0, "ann").await.unwrap_err().to_string();
        assert!(refused.contains("; "), "an error names its mend: {refused}");
    }
}

#[tokio::test]
async fn a_canary_that_does_not_come_up_is_rolled_back_and_its_users_get_the_other() {
    let Some(installed) = kernels() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_ledger, deployments) = deployments(folder.path());
    let search = KernelSearch::new(vec![installed]);
    let broken = spec(folder.path(), "python3", &json!(["false"]), "Broken");
    // Nearly all new kernels are canaries.
    deployments.deploy(&search, broken, "python3", 0.999_999, "ann").await.unwrap();
    let site = Site::configured(|config| {
        config.kernels = search.clone();
        config.deployments = Some(deployments.clone());
    });
    for _ in 0..3 {
        let started = site.ask("POST", "/api/kernels", json!({"name": "python3"})).await;
        assert_eq!(started.status, 201);
    }
    within(async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            looks.tick().await;
            let all = site.ask("GET", "/api/kernels", Value::Null).await.json;
            let kernels = all.as_array().unwrap();
            if kernels.len() == 3 && kernels.iter().all(|kernel| kernel["execution_state"] == "idle") {
                return;
            }
        }
    })
    .await;
    let (name, state) = deployments.all().await.unwrap().remove(0);
    assert_eq!((name.as_str(), &state.canary, &state.stable), ("python3", &None, &None));
    site.server.end_all().await;
}
