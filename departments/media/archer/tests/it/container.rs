//! A root file system of its own.

use std::path::Path;

use serde_json::json;

use crate::support::{job, run};

/// Whether bubblewrap is here and may make namespaces.
fn works() -> bool {
    let works = std::process::Command::new("bwrap")
        .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        assert!(
            std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"),
            "bubblewrap is missing"
        );
        eprintln!("skipped: bubblewrap is missing; install it with `apt-get install bubblewrap`");
    }
    works
}

#[tokio::test]
async fn a_contained_function_sees_its_directory_and_writes_nowhere_else() {
    if !works() {
        return;
    }
    let home = tempfile::tempdir_in("/tmp").unwrap(); // where the container has a directory of its own
    let script = "touch /etc/mark 2>/dev/null && exit 3; test -e %SECRET% && exit 4; test $(ls /proc | grep -c '^[0-9]') -lt 12 || exit 5; \
                  cat source.mp4 frames/000000003.raw >out/all; echo x >source.mp4 2>/dev/null && exit 6; echo 1 >result.json; true";
    let secret = home.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let script = script.replace("%SECRET%", &secret.display().to_string());
    let job = job(&format!(
        "name = 'x'\nsplit = 'whole'\nmap = {{ argv = ['sh', '-c', '''{script}'''] }}\n[limits]\nretries = 0\n[frames]\nencoding = 'raw'\n[container]"
    ));
    let (made, _scratch) = run(home.path(), &job).await.unwrap();
    assert_eq!(made.result, json!([1]));
    assert_eq!(std::fs::read_to_string(home.path().join("clip.mp4")).unwrap(), "a clip");
}

#[tokio::test]
async fn a_root_that_is_not_there_is_named_with_its_mend() {
    if !works() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let text = "name = 'x'\nsplit = 'whole'\nmap = { argv = ['true'] }\n[container]\nroot = '/no/such/root'";
    let error = run(home.path(), &job(text)).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/root") && error.contains("debootstrap"), "{error}");
    assert!(!Path::new("/no/such/root").exists());
}
