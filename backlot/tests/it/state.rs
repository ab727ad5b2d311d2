//! `store` and `ledger`: in and out, proved, swept, backed up, restored.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{Answer, Lot};

impl Lot {
    /// A run of one command whose output is a blob; gives the run's id.
    fn say(&self, word: &str) -> String {
        let spec = self.file(
            "say.toml",
            format!("name = 'say'\n[[step]]\nname = 'a'\ncommand = {{ argv = ['echo', '{word}'] }}\n"),
        );
        let answer = self.run(&["run", &spec, "--output", "json"]).ends(0).json();
        answer["id"].as_str().unwrap().to_owned()
    }

    fn put(&self, content: &[u8]) -> String {
        self.run_with_input(&["store", "put", "-"], content).ends(0).out.trim().to_owned()
    }

    /// The file of a blob in the home's own store.
    fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("blake3:").unwrap();
        let mut folders = vec![self.home().join("store/blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if hex.ends_with(path.file_name().unwrap().to_str().unwrap()) {
                    return path;
                }
            }
        }
        panic!("no file of {digest}")
    }
}

fn digests(answer: &Answer) -> Vec<String> {
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    answer.out.lines().map(|text| line(text)["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn blobs_and_named_objects_go_in_and_come_out() {
    let lot = Lot::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let file = lot.file("clip.bin", &content);
    let digest = lot.run(&["store", "put", &file]).ends(0).out.trim().to_owned();
    assert_eq!(lot.put(&content), digest, "the same content has the same digest");
    lot.run(&["store", "get", &digest, "back.bin"]).ends(0);
    assert_eq!(std::fs::read(lot.path().join("back.bin")).unwrap(), content);
    lot.run(&["store", "put", &file, "--name", "takes/1.bin", "--type", "video/mp4"]).ends(0);
    lot.run(&["store", "get", "takes/1.bin", "named.bin"]).ends(0);
    assert_eq!(std::fs::read(lot.path().join("named.bin")).unwrap(), content);
    assert_eq!(lot.run_with_input(&["store", "put", "-", "--name", "takes/2.txt"], b"two").ends(0).out, "");
    assert_eq!(lot.run(&["store", "get", "takes/2.txt"]).ends(0).out, "two");
    let listed = lot.run(&["store", "ls", "takes/"]).ends(0).out;
    assert!(listed.lines().count() == 2 && listed.contains("2.86 MiB  takes/1.bin"), "{listed}");
    assert_eq!(digests(&lot.run(&["store", "ls", "--blobs", "--output", "json"]).ends(0)), [digest]);

    lot.run(&["store", "get", "takes/3.txt"]).ends(1).complains_of(&["takes/3.txt", "put it first"]);
    lot.run(&["store", "get", "blake3:12"]).ends(2).complains_of(&["blake3:12", "64"]);
    lot.run(&["store", "put", "absent.bin"]).ends(1).complains_of(&["absent.bin"]);
    lot.run(&["store", "put", &file, "--name", "../x"]).ends(2).complains_of(&["../x"]);
}

#[test]
fn verify_finds_a_corrupted_blob_and_get_refuses_it() {
    let lot = Lot::new();
    let good = lot.put(b"all is well");
    let bad = lot.put(b"all was well");
    let report = lot.run(&["store", "verify", "--output", "json"]).ends(0).json();
    assert_eq!((&report["blobs"], &report["damaged"]), (&2.into(), &0.into()));
    let file = lot.blob_file(&bad);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, b"all is lost!").unwrap();
    let report = lot.run(&["store", "verify", "--output", "json"]).ends(1).json();
    assert_eq!(report["damaged"], 1);
    assert_eq!(report["damage"][0]["digest"], bad);
    let text = lot.run(&["store", "verify"]).ends(1);
    assert!(text.out.contains(&bad) && !text.out.contains(&good), "{}", text.out);
    lot.run(&["store", "get", &bad, "out"]).ends(1).complains_of(&[&bad, "corrupt"]);
    assert!(!lot.path().join("out").exists());
    lot.run(&["store", "get", &good, "out"]).ends(0);
}

#[test]
fn gc_deletes_what_no_run_names_and_only_when_alone() {
    let lot = Lot::new();
    let run = lot.say("kept");
    let outputs = lot.run(&["runs", "outputs", &run, "a", "--output", "json"]).ends(0).out;
    let stray = lot.put(b"nobody's");
    let gc = |arguments: &[&str]| lot.run(&[&["store", "gc", "--output", "json"], arguments].concat());

    assert!(digests(&gc(&[]).ends(0)).is_empty(), "the default grace spares what is young");
    assert_eq!(digests(&gc(&["--grace", "0"]).ends(0)), [stray.as_str()]);
    assert!(lot.blob_file(&stray).exists(), "a dry run deletes nothing");

    let server = lot.up(&[]);
    gc(&["--grace", "0", "--delete"]).ends(5);
    assert_eq!(server.stop(), 0);
    let worker = lot.worker(&[]);
    let refused = gc(&["--grace", "0", "--delete"]).ends(5);
    assert!(refused.err.contains(&worker.pid().to_string()), "{refused:?}");
    assert_eq!(worker.stop(), 0);

    assert_eq!(digests(&gc(&["--grace", "0", "--delete"]).ends(0)), [stray.as_str()]);
    let left = digests(&lot.run(&["store", "ls", "--blobs", "--output", "json"]).ends(0));
    assert!(left.iter().all(|digest| outputs.contains(digest)) && !left.is_empty(), "{left:?}");
    assert!(digests(&gc(&["--grace", "0", "--delete"]).ends(0)).is_empty());
}

#[test]
fn a_backup_is_a_ledger_that_can_be_restored() {
    let lot = Lot::new();
    lot.run(&["ledger", "backup", "early.db"]).ends(4).complains_of(&["there is no ledger", "--home"]);
    assert!(!lot.home().exists());

    let before = lot.say("before");
    let server = lot.up(&[]);
    let copied = lot.run(&["ledger", "backup", "copy.db", "--output", "json"]).ends(0).json();
    assert_eq!(copied["file"], lot.path().join("copy.db").to_str().unwrap());
    assert_eq!(server.stop(), 0);
    let after = lot.say("after");

    let copy = format!("sqlite://{}", lot.path().join("copy.db").display());
    let listed = lot.run(&["runs", "--ledger", &copy]).ends(0).out;
    assert!(listed.contains(&before) && !listed.contains(&after), "{listed}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(lot.home().join(format!("ledger.db{suffix}")));
    }
    std::fs::copy(lot.path().join("copy.db"), lot.home().join("ledger.db")).unwrap();
    let report = lot.run(&["ledger", "check", "--output", "json"]).ends(0).json();
    assert!(report["problems"].as_array().unwrap().is_empty(), "{report}");
    let server = lot.up(&[]);
    let listed = lot.run(&["runs"]).ends(0).out;
    assert!(listed.contains(&before) && !listed.contains(&after), "{listed}");
    drop(server);
    lot.run(&["ledger", "backup", "no/such/folder/x.db"]).ends(1).complains_of(&["no/such/folder"]);
}

#[test]
fn the_journal_tells_who_did_what() {
    let lot = Lot::new();
    let spec = lot.file("s.toml", "name = 's'\n[[step]]\nname = 'a'\ncommand = { argv = ['true'] }\n");
    let id = lot.run(&["run", &spec, "--detach"]).ends(0).out.trim().to_owned();
    lot.run(&["runs", "cancel", &id]).ends(0);
    let records = lot.run(&["ledger", "journal", "--output", "json"]).ends(0).json();
    let record =
        records.as_array().unwrap().iter().find(|record| record["subject"].as_str().unwrap().contains(&id));
    assert!(record.is_some_and(|record| record["action"].as_str().unwrap().contains("cancel")), "{records}");
    let last = records.as_array().unwrap().last().unwrap()["id"].to_string();
    assert_eq!(lot.run(&["ledger", "journal", "--after", &last]).ends(0).out, "");
}
