//! Makes an incident from a seed, as a table to try `backlot signals explain` on, explains it, and writes every form of the answer.
//!
//! `cargo run -p backlot-signals --example incident -- FOLDER [SEED] [SIGNALS]`

use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use backlot_signals::{Asked, Table, TableReader, explain, kinds};
use backlot_signals_kernels::incident::Plan;

/// Five minutes, so that a day has the plan's 288 points.
const STEP_SECONDS: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let signals = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let incident = Plan { signals, ..Plan::default() }.make(seed);
    let mut csv = format!("time,starts,{}\n", incident.names.join(","));
    for point in 0..incident.alert.len() {
        write!(csv, "{}", point * STEP_SECONDS)?;
        for signal in std::iter::once(&incident.alert).chain(&incident.signals) {
            match signal[point] {
                value if value.is_nan() => csv.push(','),
                value => write!(csv, ",{value}")?,
            }
        }
        csv.push('\n');
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("signals.csv"), &csv)?;

    let start = Instant::now();
    let table = Table::from_csv(&csv)?;
    let read = start.elapsed();
    let at = Some((incident.fired * STEP_SECONDS).to_string());
    let asked = Asked { alert: "starts".into(), at, ..Asked::default() };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let start = Instant::now();
    let explanation = explain(&table, &asked, threads)?;
    let explained = start.elapsed();
    let mut reader = TableReader::open(std::io::Cursor::new(table.to_bytes()))?;
    let report = kinds::report(&mut reader, &explanation)?;
    for (name, file) in [
        ("explanation", "explanation.json"),
        ("timeline", "timeline.txt"),
        ("figure", "figure.json"),
        ("figure_light", "figure.svg"),
    ] {
        if let Some((content, _)) = report.files.get(name) {
            std::fs::write(folder.join(file), content)?;
        }
    }
    print!("{}", backlot_signals::text::timeline(&explanation));
    println!("\nthe cause was {}", incident.names[incident.root]);
    println!("{signals} signals: read in {read:.0?}, explained in {explained:.0?} on {threads} threads");
    Ok(())
}
