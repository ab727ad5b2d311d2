//! Help, mistakes, settings, formats.

use std::process::{Command, Stdio};

use crate::support::{Lot, finish};

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = Lot::new().run(&["--help"]).ends(0);
    for word in ["up", "worker", "doctor", "doors", "store", "ledger", "runs", "events", "completions"] {
        assert!(help.out.contains(&format!("\n  {word} ")), "{word}: {}", help.out);
    }
    assert!(help.out.contains("Exit codes:\n  0    done\n"), "{}", help.out);
    assert!(help.out.contains("BACKLOT_HOME"));
    let bare = Lot::new().run(&[]).ends(2);
    assert!(bare.out.is_empty() && bare.err.contains("Usage:"));
}

#[test]
fn a_bad_flag_is_one_line_with_the_near_miss() {
    let lot = Lot::new();
    lot.run(&["doctor", "--instal"]).ends(2).complains_of(&["'--instal'", "'--install'", "see --help"]);
    lot.run(&["dctor"]).ends(2).complains_of(&["'dctor'", "'doctor'"]);
    let answer = lot.run(&["--output", "json", "dctor"]).ends(2);
    let error: serde_json::Value = serde_json::from_str(&answer.err).unwrap();
    assert_eq!(error["error"]["code"], 2);
    assert!(error["error"]["mend"].as_str().unwrap().contains("'doctor'"), "{error}");
    assert!(answer.out.is_empty());
}

#[test]
fn a_bad_configuration_is_refused_with_the_near_miss() {
    let lot = Lot::new();
    let file = lot.file("c.toml", "[workers]\ncpsu = 2\n");
    lot.run(&["config", "show", "--config", &file]).ends(2).complains_of(&[
        "c.toml",
        "`workers.cpsu`",
        "`workers.cpus`",
    ]);
    let file = lot.file("c.toml", "home = 'x'\nbind =\n");
    lot.run(&["config", "show", "--config", &file]).ends(2).complains_of(&["c.toml", "line 2"]);
    lot.run(&["config", "show", "--config", "absent.toml"])
        .ends(2)
        .complains_of(&["absent.toml", "--config"]);
    let file = lot.file("c.toml", "bind = 'everywhere'\n");
    lot.run(&["up", "--config", &file]).ends(2).complains_of(&["`bind`", "c.toml", "\"everywhere\""]);
    assert!(!lot.home().exists(), "nothing is made before the settings are right");
}

#[test]
fn settings_tell_where_they_came_from() {
    let lot = Lot::new();
    let text = "ledger = 'postgres://ada:hunter2@db/house'\nbind = '127.0.0.1:1'\nhosts = ['a.example']\n";
    std::fs::create_dir_all(lot.path().join("config/backlot")).unwrap();
    std::fs::write(lot.path().join("config/backlot/config.toml"), text).unwrap();
    let mut command = lot.command(&["config", "show", "--output", "json"]);
    command.env("BACKLOT_BIND", "127.0.0.1:2").env("BACKLOT_TOKEN", "hunter3");
    let answer = finish(command).ends(0);
    assert!(!answer.out.contains("hunter"), "{}", answer.out);
    let shown = answer.json();
    let find = |key: &str| {
        let line = shown.as_array().unwrap().iter().find(|line| line["key"] == key).unwrap();
        (line["value"].to_string().replace('"', ""), line["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(find("output"), ("json".into(), "--output".into()));
    assert_eq!(find("bind"), ("127.0.0.1:2".into(), "BACKLOT_BIND".into()));
    let file = lot.path().join("config/backlot/config.toml").display().to_string();
    assert_eq!(find("ledger"), ("postgres://ada@db/house".into(), file.clone()));
    assert_eq!(find("hosts"), ("[a.example]".into(), file));
    assert_eq!(find("color"), ("auto".into(), "default".into()));
    assert_eq!(find("token").1, "BACKLOT_TOKEN");
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    let lot = Lot::new();
    assert!(!lot.run(&["config", "show"]).ends(0).out.contains('\x1b'));
    let colored = lot.run(&["config", "show", "--color", "always"]).ends(0);
    assert!(colored.out.contains("\x1b["), "{}", colored.out);
    assert!(!lot.run(&["token", "list", "--config", "absent"]).ends(2).err.contains('\x1b'));
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    let lot = Lot::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = lot.run(&["completions", shell]).ends(0).out;
        assert!(script.contains("doctor") && script.contains("--timing") || shell == "fish", "{shell}");
        assert!(script.contains("doctor") && script.contains("timing"), "{shell}");
    }
    let script = lot.file("completions.bash", lot.run(&["completions", "bash"]).out);
    let mut bash = Command::new("bash");
    let line = format!(
        ". '{script}'; COMP_WORDS=(backlot doc); COMP_CWORD=1; _backlot backlot doc backlot; echo \"${{COMPREPLY[*]}}\""
    );
    bash.args(["--norc", "-c", &line]).stdin(Stdio::null());
    assert_eq!(finish(bash).ends(0).out.trim(), "doctor");
}

#[test]
fn the_version_tells_the_build() {
    let lot = Lot::new();
    let build = lot.run(&["version", "--output", "json"]).ends(0).json();
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    assert!(build["departments"].as_array().unwrap().iter().any(|name| name == "runs"), "{build}");
    assert!(build["compiler"].as_str().unwrap().starts_with("rustc "), "{build}");
    assert!(lot.run(&["--version"]).ends(0).out.starts_with("backlot "));
    assert!(!lot.home().exists(), "telling makes nothing");
}

#[test]
fn doors_are_listed_without_a_server_and_without_making_anything() {
    let lot = Lot::new();
    let answer = lot.run(&["doors", "--output", "json", "--home", "elsewhere"]).ends(0).json();
    assert_eq!(answer["running"], false);
    let doors = answer["doors"].as_array().unwrap();
    let runs = doors.iter().find(|door| door["name"] == "runs").unwrap();
    assert_eq!(runs["url"], "http://127.0.0.1:7700/runs/api/v1");
    assert_eq!(runs["set"], "BACKLOT_URL=http://127.0.0.1:7700");
    assert!(!lot.path().join("elsewhere").exists());
}

#[test]
fn commands_on_the_state_itself_do_not_pass_a_server_elsewhere_by() {
    let lot = Lot::new();
    for line in [&["runs"][..], &["store", "ls"], &["ledger", "check"], &["token", "list"]] {
        let answer = lot.run(&[line, &["--url", "http://lot.example:7700"]].concat());
        assert_ne!(answer.code, 0);
        answer.complains_of(&["http://lot.example:7700", "--ledger"]);
    }
    assert!(!lot.home().exists());
}
