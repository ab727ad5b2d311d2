//! Turns a target's kept inputs into a folder for libFuzzer, and a folder into kept inputs.

use std::path::Path;
use std::process::ExitCode;

use backlot_fuzz::{TARGETS, corpus, target};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["list"] => {
            for target in TARGETS {
                println!("cargo xtask fuzz {:18} {}", target.name, target.summary);
            }
            Ok(())
        }
        ["unpack", name, folder] => unpack(name, Path::new(folder)),
        ["pack", name, folder] => pack(name, Path::new(folder)),
        _ => Err("usage: fuzz-corpus list | unpack TARGET FOLDER | pack TARGET FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn unpack(name: &str, folder: &Path) -> Done {
    let file = corpus::file(target(name)?.name);
    let text = if file.exists() { std::fs::read_to_string(file)? } else { String::new() };
    Ok(corpus::unpack(&corpus::read(&text)?, folder)?)
}

fn pack(name: &str, folder: &Path) -> Done {
    let file = corpus::file(target(name)?.name);
    let text = corpus::write(corpus::pack(folder)?);
    println!("{}: {} inputs", file.display(), text.lines().count());
    Ok(std::fs::write(file, text)?)
}
