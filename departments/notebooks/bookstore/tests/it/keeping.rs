//! What is kept: every save, in the order of the file, also when the process is killed or the store is away.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use backlot_bookstore::{Archive, Bookstore, Error, Hook, Save, Settings, Uploads};
use backlot_ledger::Ledger;
use backlot_ledger::testing::on_each_backend;
use backlot_notebooks_model::SaveHook;
use backlot_store::Store;

use crate::{Shop, notebook, open};

/// A save as a server of notebooks does it: the file is replaced, then the hook is called.
fn save(bookstore: &Bookstore, hook: &Hook, path: &str, text: &str) {
    bookstore.workspace().replace(path, text.as_bytes()).unwrap();
    hook.saved(path, text.as_bytes(), "ada").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_saves_at_once_the_newest_is_kept() {
    let shop = Shop::new(|_, _| {});
    let hook = Arc::new(Hook::new(&shop.bookstore, tokio::runtime::Handle::current()));
    let saves: Vec<_> = (0..100)
        .map(|number| {
            let (bookstore, hook) = (shop.bookstore.clone(), Arc::clone(&hook));
            tokio::task::spawn_blocking(move || {
                save(&bookstore, &hook, "busy.ipynb", &notebook(&number.to_string()));
            })
        })
        .collect();
    for one in saves {
        one.await.unwrap();
    }
    let file = std::fs::read(shop.file("busy.ipynb")).unwrap();
    let (newest, bytes) = shop.bookstore.read("busy.ipynb", None).await.unwrap();
    assert_eq!(bytes, file, "the newest version is the file");
    let versions = shop.bookstore.versions("busy.ipynb", None).await.unwrap();
    assert_eq!(versions.len() as u64, newest.number);
    let digests: HashSet<_> = versions.iter().map(|version| version.digest).collect();
    assert_eq!(digests.len(), 100, "each of the hundred is kept");
    assert!(versions.iter().all(|version| version.author == "ada"));
}

#[tokio::test]
async fn equal_saves_are_one_version_and_others_files_none() {
    let shop = Shop::new(|_, _| {});
    let text = notebook("same");
    let first = shop.bookstore.saved("a.ipynb", text.clone().into(), "ada").await.unwrap();
    let again = shop.bookstore.saved("./a.ipynb", text.into(), "bo").await.unwrap();
    assert_eq!(first, again);
    let hook = Hook::new(&shop.bookstore, tokio::runtime::Handle::current());
    hook.saved("data.csv", b"1,2", "ada").unwrap();
    assert_eq!(shop.bookstore.paths(None).await.unwrap().len(), 1);
    let refused = shop.bookstore.saved("../a.ipynb", "".into(), "ada").await.unwrap_err().to_string();
    assert!(refused.contains("climbs"), "{refused}");
}

#[tokio::test]
async fn an_old_version_comes_back_and_nothing_is_lost() {
    let shop = Shop::new(|_, _| {});
    let texts = [notebook("one"), notebook("two")];
    for text in &texts {
        shop.bookstore.workspace().replace("a.ipynb", text.as_bytes()).unwrap();
        shop.bookstore.saved("a.ipynb", text.clone().into(), "ada").await.unwrap();
    }
    // Changed by an editor, so that no save told of it.
    std::fs::write(shop.file("a.ipynb"), "edited").unwrap();
    let restored = shop.bookstore.restore("a.ipynb", 1, "bo").await.unwrap();
    assert_eq!((restored.number, restored.note.as_str()), (4, "restored from 1"));
    assert_eq!(std::fs::read_to_string(shop.file("a.ipynb")).unwrap(), texts[0]);
    assert_eq!(shop.bookstore.read("a.ipynb", Some(3)).await.unwrap().1, "edited");
    assert_eq!(shop.bookstore.read("a.ipynb", Some(2)).await.unwrap().1, texts[1]);
    let problem = shop.bookstore.restore("a.ipynb", 9, "bo").await.unwrap_err();
    assert_eq!((problem.status, problem.message.contains("no version 9")), (404, true));
}

#[test]
fn versions_and_paths_are_listed_on_each_ledger() {
    on_each_backend("bookstore", |url| {
        let folder = tempfile::tempdir().unwrap();
        let ledger = backlot_ledger::testing::open(url);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bookstore = open(&ledger, folder.path(), Settings::default());
            for (path, text) in [("b.ipynb", "1"), ("A/x.ipynb", "2"), ("b.ipynb", "3"), ("ä.ipynb", "4")] {
                bookstore.saved(path, notebook(text).into(), "ada").await.unwrap();
            }
            // Another shelf of the same archive is not seen.
            let other = Save { path: "workspace2/c.ipynb", content: "x".into(), author: "ada", note: "" };
            bookstore.archive().save(other).await.unwrap();
            let paths = bookstore.paths(None).await.unwrap();
            let mut seen: Vec<(&str, u64)> =
                paths.iter().map(|kept| (kept.path.as_str(), kept.versions)).collect();
            let after = bookstore.paths(Some(&paths[0].path)).await.unwrap();
            assert_eq!(after.len(), 2, "a page begins after a path");
            seen.sort_unstable();
            assert_eq!(seen, [("A/x.ipynb", 1), ("b.ipynb", 2), ("ä.ipynb", 1)]);
            let numbers = |versions: Vec<backlot_bookstore::Version>| {
                versions.iter().map(|version| version.number).collect::<Vec<_>>()
            };
            assert_eq!(numbers(bookstore.versions("b.ipynb", None).await.unwrap()), [2, 1]);
            assert_eq!(numbers(bookstore.versions("b.ipynb", Some(2)).await.unwrap()), [1]);
            assert!(matches!(bookstore.versions("no.ipynb", None).await, Err(Error::NoSuchPath { .. })));
            assert_eq!(bookstore.archive().referenced().await.unwrap().len(), 5);
        });
    });
}

#[tokio::test]
async fn a_store_that_is_away_loses_no_save() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", folder.path().display())).unwrap();
    let place = folder.path().join("store");
    let store = Store::open(&format!("file://{}", place.display())).unwrap();
    let spool = folder.path().join("spool");
    let archive = Archive::open(&ledger, &store, &spool, Uploads::None).unwrap();
    // Where the store's folder was there is a file: it takes nothing.
    let away = folder.path().join("away");
    std::fs::rename(&place, &away).unwrap();
    std::fs::write(&place, "").unwrap();
    let kept = archive
        .save(Save { path: "workspace/a.ipynb", content: "kept".into(), author: "ada", note: "" })
        .await
        .unwrap();
    assert_eq!(archive.read(&kept).await.unwrap(), "kept");
    assert!(archive.unspool().await.is_err());
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    assert_eq!(archive.unspool().await.unwrap(), 1);
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    assert_eq!(store.get(&kept.digest, 100).await.unwrap(), "kept");
    assert_eq!(archive.unspool().await.unwrap(), 0);
}

const KILLED: &str = "BACKLOT_TEST_KILLED";

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(folder) = std::env::var_os(KILLED) {
        save_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keeping::what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(KILLED, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<u64> = lines.filter_map(|line| line.strip_prefix("kept ")?.parse().ok()).take(40).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told.len(), 40, "the child told of its saves");
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", folder.path().display())).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let bookstore = open(&ledger, folder.path(), Settings::default());
        for number in told {
            let (version, bytes) = bookstore.read("a.ipynb", Some(number)).await.unwrap();
            assert_eq!(bytes, notebook(&number.to_string()), "version {}", version.number);
        }
    });
}

fn save_for_ever(folder: &Path) -> ! {
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", folder.display())).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let bookstore = open(&ledger, folder, Settings::default());
        for number in 1_u64.. {
            let text = notebook(&number.to_string());
            let kept = bookstore.saved("a.ipynb", text.into(), "ada").await.unwrap();
            println!("kept {}", kept.number);
        }
    });
    unreachable!("invariant: the loop has no end")
}
