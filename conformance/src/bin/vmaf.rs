//! `cargo xtask conformance vmaf`: every number of every frame, against libvmaf.
//!
//! The judge is libvmaf as the Python package imageio-ffmpeg carries it, inside ffmpeg. Clips are made by that ffmpeg's own
//! sources, in all depths and layouts and in odd sizes, and Netflix's public clips are added where `BACKLOT_VMAF_CLIPS`
//! names their folder. Both programs read the same files and write reports; the reports are compared as text.
//!
//! Arguments: parts of clip names, to run only those. `--netflix DIR` runs the tests of Netflix's own Python package against
//! our program instead; DIR is a checkout of `Netflix/vmaf`. The exit code is 0 only when nothing differs.

use std::process::ExitCode;

use backlot_conformance::vmaf::{Judge, SCORE, checks, clips, given_clips, netflix};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match wanted.as_slice() {
        [word, line @ ..] if word == SCORE => {
            return ExitCode::from(backlot_vmaf::tool::run(line, &mut std::io::stderr()));
        }
        [word, folder] if word == "--netflix" => {
            return match netflix(folder.as_ref()) {
                Ok(told) => {
                    println!("{told}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            };
        }
        _ => {}
    }
    let judge = match Judge::find() {
        Ok(judge) => judge,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let all = clips().into_iter().chain(given_clips());
    let chosen: Vec<_> = all
        .filter(|clip| wanted.is_empty() || wanted.iter().any(|part| clip.name.contains(part.as_str())))
        .collect();
    println!("judge: {}", judge.name());
    let checks = checks();
    print!("{:38}", "clip");
    for check in &checks {
        print!("{:>16}", check.name);
    }
    println!("{:>10}", "order");
    let (mut equal, mut total, mut wrong, mut failures) = (0, 0, 0, Vec::new());
    let mut farthest = 0.0_f64;
    let mut left_out = std::collections::BTreeMap::new();
    for clip in &chosen {
        print!("{:38}", clip.name);
        let mut in_order = 0;
        let mut run = 0;
        let files = match judge.make(clip) {
            Ok(files) => files,
            Err(error) => {
                println!(" {error}");
                failures.push(format!("{}: {error}", clip.name));
                continue;
            }
        };
        for check in &checks {
            match judge.compare(&files, clip, check) {
                Ok(None) => print!("{:>16}", "-"),
                Ok(Some(outcome)) => {
                    farthest = farthest.max(outcome.farthest);
                    for reason in &outcome.left_out {
                        left_out.entry(*reason).or_insert_with(Vec::new).push(clip.name.as_str());
                    }
                    equal += outcome.equal;
                    total += outcome.total;
                    wrong += outcome.wrong.len();
                    run += 1;
                    in_order += usize::from(outcome.same_order);
                    print!("{:>16}", format!("{}/{}", outcome.equal, outcome.total));
                    failures.extend(
                        outcome
                            .wrong
                            .iter()
                            .take(3)
                            .map(|one| format!("{} {}: {one}", clip.name, check.name)),
                    );
                }
                Err(error) => {
                    print!("{:>16}", "failed");
                    failures.push(format!("{} {}: {error}", clip.name, check.name));
                }
            }
        }
        println!("{:>10}", format!("{in_order}/{run}"));
    }
    println!(
        "\n{} clips, {total} numbers: {equal} equal as text, {} within tolerance (farthest {farthest:.6}), {wrong} wrong",
        chosen.len(),
        total - equal - wrong
    );
    for (reason, clips) in &left_out {
        println!("  {reason} ({})", clips.join(", "));
    }
    for failure in &failures {
        println!("  {failure}");
    }
    if failures.is_empty() && total > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
