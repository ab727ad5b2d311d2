//! The run that is disturbed: every way in which tasks depend on, hold, and produce things.
//!
//! | step | tasks | what it tries |
//! |---|---|---|
//! | `seed` | 1 | a list as a blob, for the maps |
//! | `square` | the rest | in-process tasks; every fifth stores a blob, every eleventh fails once and is tried again |
//! | `shell` | 1/5 | programs that have a child of their own |
//! | `licence` | 1/10 | a key that two tasks may hold at once |
//! | `shared` | 1/10 | inputs equal in all runs: results are reused |
//! | `join` | 1 | waits for all results and reads the blobs |
//! | `tail` | 1 | a program fed with a blob |

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_work::{
    BlobRef, CommandSpec, Kinds, Outputs, RetrySpec, RunSpec, Span, StepSpec, TaskContext, TaskError,
};
use serde_json::{Value, json};

/// The key of which two tasks may hold one each.
pub const LICENCE: &str = "licence";

/// The variable by which the harness knows the programs that its tasks started.
pub const HOUSE_VARIABLE: &str = "CRASH_HARNESS_HOUSE";

/// The fewest tasks a run can have: one for each step.
pub const FEWEST_TASKS: usize = 30;

/// The name of the run of a round.
pub fn run_name(round: &str) -> String {
    format!("crash-{round}")
}

/// The directory of the marker files.
pub fn markers(home: &Path) -> PathBuf {
    home.join("markers")
}

/// The run of a round with `tasks` tasks in all.
pub fn spec(home: &Path, round: &str, tasks: usize) -> RunSpec {
    let (shell, licence, shared) = (tasks / 5, tasks / 10, tasks / 10);
    let square = tasks - shell - licence - shared - 3;
    let items =
        json!({"salt": round, "square": square, "shell": shell, "licence": licence, "shared": shared});
    let mut squares = StepSpec::new("square", "crash.square", json!({"salt": round, "number": "${item}"}))
        .map_over(json!("${steps.seed.square}"), Some(24));
    squares.retry = RetrySpec { max: 3, backoff: Span::millis(20), ..RetrySpec::default() };
    let mut licences = StepSpec::new("licence", "crash.square", json!({"salt": round, "number": "${item}"}))
        .map_over(json!("${steps.seed.licence}"), None);
    licences.keys = vec![LICENCE.to_owned()];
    licences.cpus = 0.0;
    let shared = StepSpec::new("shared", "crash.square", json!({"number": "${item}"}))
        .map_over(json!("${steps.seed.shared}"), None);
    let join = StepSpec::new(
        "join",
        "crash.join",
        json!({
            "salt": round,
            "lists": ["${steps.square}", "${steps.shell}", "${steps.licence}", "${steps.shared}"],
        }),
    );
    RunSpec::new(run_name(round))
        .step(StepSpec::new("seed", "crash.seed", items))
        .step(squares)
        .step(shell_step(home, round))
        .step(licences)
        .step(shared)
        .step(join)
        .step(command_step(
            home,
            "tail",
            round,
            &["sh", "-c", &format!("{MARK}; wc -c; echo end")],
            json!("${steps.join.report}"),
        ))
}

/// The line by which a program notes its execution.
const MARK: &str = "echo start >> \"$MARKERS/$BACKLOT_RUN-$BACKLOT_STEP-$BACKLOT_INDEX\"";

fn shell_step(home: &Path, round: &str) -> StepSpec {
    // The sleeper outlives its parent: it is the engine that must end it, however the parent ended.
    let script = format!(
        "{MARK}; sleep 600 2>&- & sleep \"0.0$(($0 % 7 + 1))\"; echo \"square of $0 is $(($0 * $0))\"; echo \"$0\" > out.txt"
    );
    let mut step = command_step(home, "shell", round, &["sh", "-c", &script, "${item}"], Value::Null)
        .map_over(json!("${steps.seed.shell}"), None);
    step.cpus = 0.5;
    if let Some(command) = &mut step.command {
        command.outputs.insert("out".into(), "out.txt".into());
    }
    step
}

fn command_step(home: &Path, name: &str, round: &str, argv: &[&str], stdin: Value) -> StepSpec {
    let house = home.display().to_string();
    let mut command = CommandSpec {
        argv: argv.iter().map(|argument| Value::from(*argument)).collect(),
        stdin,
        ..CommandSpec::default()
    };
    command.env.insert("MARKERS".into(), json!(markers(home).display().to_string()));
    command.env.insert("SALT".into(), json!(round));
    command.env.insert(HOUSE_VARIABLE.into(), json!(house));
    let mut step = StepSpec::new(name, "", Value::Null);
    step.kind = None;
    step.command = Some(command);
    step
}

/// The in-process kinds. Outputs depend on the input without its salt only.
pub fn kinds(home: &Path) -> Kinds {
    let (seed, square, join) = (home.to_owned(), home.to_owned(), home.to_owned());
    Kinds::new()
        .with_fn("crash.seed", 1, move |task| {
            let home = seed.clone();
            async move {
                mark(&home, &task, "start")?;
                let mut outputs = Outputs::new();
                for (offset, name) in ["square", "shell", "licence", "shared"].into_iter().enumerate() {
                    let length = task.input()[name].as_i64().unwrap_or(0);
                    let from = offset as i64 * 10_000;
                    let list = serde_json::to_vec(&(from..from + length).collect::<Vec<_>>());
                    let list = list.map_err(|error| TaskError::Permanent(error.to_string()))?;
                    outputs = outputs.blob(name, &task.put(list, "application/json").await?);
                }
                Ok(outputs)
            }
        })
        .with_fn("crash.square", 1, move |task| {
            let home = square.clone();
            async move {
                mark(&home, &task, "start")?;
                let number = task.input()["number"].as_i64().unwrap_or(0);
                // 5 to 44 ms, the same for the same number.
                tokio::time::sleep(Duration::from_millis(5 + (number as u64).wrapping_mul(7919) % 40)).await;
                if task.step() == "square" && number % 11 == 3 && !has_failed(&home, &task) {
                    mark(&home, &task, "failed")?;
                    return Err(TaskError::Retryable("the first try fails".into()));
                }
                task.log(format!("the square of {number}"));
                let outputs = Outputs::new().value("square", number * number)?;
                if number % 5 != 0 {
                    return Ok(outputs);
                }
                let blob = task.put(format!("{number} ").repeat(500), "text/plain").await?;
                Ok(outputs.blob("text", &blob))
            }
        })
        .with_fn("crash.join", 1, move |task| {
            let home = join.clone();
            async move {
                mark(&home, &task, "start")?;
                let (mut sum, mut report) = (0_i64, String::new());
                for list in task.input()["lists"].as_array().into_iter().flatten() {
                    for outputs in list.as_array().into_iter().flatten() {
                        sum += outputs["square"].as_i64().unwrap_or(0);
                        report.push_str(&outputs["square"].to_string());
                        for name in ["text", "stdout", "out"] {
                            if let Some(blob) = BlobRef::from_value(&outputs[name]) {
                                let bytes = task.store().get(&blob.digest, 1 << 20).await?;
                                report.push_str(&String::from_utf8_lossy(&bytes));
                            }
                        }
                    }
                }
                let report = task.put(report, "text/plain").await?;
                Ok(Outputs::new().value("sum", sum)?.blob("report", &report))
            }
        })
}

fn marker(home: &Path, task: &TaskContext) -> PathBuf {
    markers(home).join(format!("{}-{}-{}", task.run(), task.step(), task.index()))
}

/// Adds a line to the task's marker file: one small append, so that a crash leaves whole lines.
fn mark(home: &Path, task: &TaskContext, word: &str) -> Result<(), TaskError> {
    let path = marker(home, task);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(format!("{word}\n").as_bytes()))
        .map_err(|error| TaskError::Permanent(format!("{}: {error}", path.display())))
}

fn has_failed(home: &Path, task: &TaskContext) -> bool {
    std::fs::read_to_string(marker(home, task)).is_ok_and(|lines| lines.contains("failed"))
}
