//! A house of this department alone, with some runs to look at: `cargo run --example lot [PORT]`.

use std::time::Duration;

use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_runs::Runs;
use backlot_store::Store;
use backlot_web::{Shell, Tokens, WebConfig};
use backlot_work::{Kinds, Outputs, RunSpec, StepSpec, SubmitOptions, TaskError, Worker, WorkerOptions};
use serde_json::{Map, json};

/// A small picture for the artifacts.
const PICTURE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 180" width="320" height="180"><rect width="320" height="180" fill="#223"/><path d="M30 150L110 90L190 60L290 34" fill="none" stroke="#8f99ff" stroke-width="3"/></svg>"##;

fn kinds() -> Kinds {
    Kinds::new()
        .with_fn("media.probe", 1, async |task| {
            task.log("1280x720 yuv420p 24 fps, 5.312 s");
            Outputs::new().value("shots", json!([0, 17, 42, 71, 90, 111, 120, 127]))?.value("frames", 132)
        })
        .with_fn("media.encode", 1, async |task| {
            for step in 0..20 {
                task.log(format!("frame={:4} fps=23.9 q=28.0 size={:6}KiB", step * 6, step * 31));
                task.progress(f64::from(step) / 20.0, format!("frame {}", step * 6));
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            let clip = task.put("not really a clip ".repeat(400), "text/plain").await?;
            Ok(Outputs::new().blob("clip", &clip))
        })
        .with_fn("media.audio", 1, async |task| {
            task.log("no audio track found");
            Err::<Outputs, _>(TaskError::Permanent("the clip has no audio track; pass audio = false".into()))
        })
        .with_fn("media.report", 1, async |task| {
            let picture = task.put(PICTURE, "image/svg+xml").await?;
            Outputs::new()
                .blob("curve", &picture)
                .value("saved", "31 %")?
                .value("rungs", json!([235, 560, 1050, 1750]))
        })
}

fn premiere(name: &str, has_audio: bool) -> RunSpec {
    let mut spec = RunSpec::new(name)
        .step(StepSpec::new("probe", "media.probe", json!({})))
        .step(
            StepSpec::new("encode", "media.encode", json!({ "at": "${item}" }))
                .map_over(json!("${steps.probe.shots}"), Some(3)),
        )
        .step(StepSpec::new("measure", "media.report", json!({})).after("encode").after("probe"))
        .step(StepSpec::new("thumbnails", "media.report", json!({ "n": 1 })).after("probe"))
        .step(StepSpec::new("ladder", "media.report", json!({ "n": 2 })).after("measure"))
        .step(StepSpec::new("report", "media.report", json!({ "n": 3 })).after("ladder").after("thumbnails"));
    if has_audio {
        spec = spec.step(StepSpec::new("audio", "media.audio", json!({})).after("probe").retries(1));
    }
    spec
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let home = std::env::temp_dir().join("backlot-lot");
    let tokens = Tokens::open(&home)?;
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display()))?;
    let store = Store::open(&format!("file://{}/blobs", home.display()))?;
    let departments: [Box<dyn Department>; 1] = [Box::new(Runs)];
    let mut house = House::open(&home, Config::default(), store, ledger, &departments)?;
    house.kinds = kinds();
    let options = WorkerOptions { cpus: 4.0, ..WorkerOptions::new(home.join("scratch")) };
    let worker = Worker::start(&house.work, house.kinds.clone(), options).await?;
    for (name, has_audio) in [("premiere-bunny", false), ("premiere-silent", true), ("premiere-again", false)]
    {
        let options = SubmitOptions { by: "admin".to_owned(), ..SubmitOptions::default() };
        house.work.submit(premiere(name, has_audio), Map::default(), options, Some(&house.kinds)).await?;
    }
    let mut config = WebConfig::new(tokens);
    if let Some(port) = std::env::args().nth(1) {
        config.bind.set_port(port.parse()?);
    }
    let shell = Shell::builder(config).department(shell_part(&Runs, &house)).build()?;
    let listener = shell.bind().await?;
    println!(
        "http://{}/login?token={}",
        listener.local_addr()?,
        Tokens::admin_token(&home)?.unwrap_or_default()
    );
    shell.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    worker.stop().await;
    Ok(())
}
