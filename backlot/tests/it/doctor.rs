//! `doctor`: what it finds, what it leaves alone, and what its exit code says.

use std::path::PathBuf;
use std::process::Command;

use backlot_ledger::testing::skip;
use serde_json::Value;

use crate::support::{Answer, Lot, finish};

fn check(answer: &Answer, name: &str) -> Value {
    let checks = answer.json()["checks"].clone();
    checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
}

const HOUSE: [&str; 5] = ["home", "disk space", "ledger", "store", "clock"];

#[test]
fn a_sound_house_is_found_sound_and_looking_makes_nothing() {
    let lot = Lot::new();
    let answer = lot.run(&["doctor", "--output", "json"]);
    for name in HOUSE {
        let check = check(&answer, name);
        assert_eq!(
            (check["state"].as_str(), check["department"].as_str()),
            (Some("ok"), Some("house")),
            "{check}"
        );
    }
    assert!(!lot.home().exists());

    // The verdict is that of the required parts, whichever departments are in the binary.
    let answer = answer.json();
    let is_bad = |check: &Value| check["need"] == "required" && check["state"] != "ok";
    let any_bad = answer["checks"].as_array().unwrap().iter().any(is_bad);
    assert_eq!(answer["ok"], !any_bad);
    let text = lot.run(&["doctor"]).ends(if any_bad { 4 } else { 0 });
    assert!(text.out.starts_with("STATE") && text.out.contains("GiB free"), "{}", text.out);

    let server = lot.up(&[]);
    let answer = lot.run(&["doctor", "--output", "json"]);
    assert!(check(&answer, "ledger")["detail"].as_str().unwrap().starts_with("SQLite 3."));
    assert_eq!(check(&answer, "store")["state"], "ok", "beside a running server");
    drop(server);
}

#[test]
fn what_is_broken_is_named_and_ends_with_four() {
    let lot = Lot::new();
    let damaged = lot.file("damaged.db", "this is no database, however long one looks at it\n".repeat(100));
    let ledger = format!("sqlite://{damaged}");
    let store = format!("file://{damaged}");
    let answer = lot.run(&["doctor", "--ledger", &ledger, "--store", &store, "--output", "json"]).ends(4);
    assert_eq!(answer.json()["ok"], false);
    for name in ["ledger", "store"] {
        let check = check(&answer, name);
        assert_eq!(check["state"], "unusable", "{check}");
        assert!(check["detail"].as_str().unwrap().contains(&damaged), "{check}");
    }
    let mut command = lot.command(&["doctor", "--output", "json"]);
    command.env("BACKLOT_HOME", "/dev/null/home");
    let answer = finish(command).ends(4);
    assert_eq!(check(&answer, "home")["state"], "unusable");
}

/// Makes a Python wheel of the ffmpeg that is installed here, as the one from the index would be.
const WHEEL: &str = "
import sys, zipfile
folder, ffmpeg = sys.argv[1:]
info = 'imageio_ffmpeg-0.8.1.dist-info/'
wheel = zipfile.ZipFile(folder + '/imageio_ffmpeg-0.8.1-py3-none-any.whl', 'w')
wheel.writestr('imageio_ffmpeg/__init__.py', '')
program = zipfile.ZipInfo('imageio_ffmpeg/binaries/ffmpeg-linux64')
program.external_attr = 0o100755 << 16
wheel.writestr(program, '#!/bin/sh\\nexec ' + ffmpeg + ' \"$@\"\\n')
wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: imageio-ffmpeg\\nVersion: 0.8.1\\n')
wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
wheel.writestr(info + 'RECORD', '')
wheel.close()
";

/// A program of this machine's search path.
fn program(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[test]
fn what_is_missing_is_installed_into_the_home_and_then_found() {
    let lot = Lot::new();
    // What the search path names may be a script around the interpreter; the interpreter itself can be moved elsewhere.
    let interpreter = |python: PathBuf| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import ensurepip, os, sys, venv; print(os.path.realpath(sys.executable))"]);
        let answer = finish(asked);
        (answer.code == 0).then(|| PathBuf::from(answer.out.trim()))
    };
    let (Some(python), Some(ffmpeg)) = (program("python3").and_then(interpreter), program("ffmpeg")) else {
        skip("python3 with venv, or ffmpeg, was not found", "apt-get install python3-venv ffmpeg");
        return;
    };
    // A machine with Python and nothing else: neither ffmpeg nor apt-get.
    let programs = lot.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(&python, programs.join("python3")).unwrap();
    let mut make = Command::new(&python);
    make.args(["-c", WHEEL]).arg(lot.path()).arg(&ffmpeg);
    finish(make).ends(0);
    let doctor = |arguments: &[&str]| {
        let mut command = lot.command(&[&["doctor", "--output", "json"], arguments].concat());
        command.env("PATH", &programs).env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", lot.path());
        finish(command)
    };

    let before = check(&doctor(&[]).ends(4), "ffmpeg");
    assert_eq!((before["state"].as_str(), before["need"].as_str()), (Some("missing"), Some("required")));
    assert_eq!(before["install"][0]["apt"][0], "ffmpeg", "{before}");

    let installed = doctor(&["--install"]).ends(0);
    let found = check(&installed, "ffmpeg");
    let place = lot.home().join("tools").display().to_string();
    assert!(found["detail"].as_str().unwrap().contains(&place), "{found}");
    assert!(installed.err.contains("installing with pip: imageio-ffmpeg==0.8.1"), "{}", installed.err);
    doctor(&[]).ends(0);
}
