//! Files as others write them, and broken ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use backlot_signals_parquet::{Columns, Error, read};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const MOST: usize = 1 << 20;

/// A wide file by the crate's own writer: a time in microseconds, `a` whole, `b` with nulls.
fn wide(rows: usize) -> Vec<u8> {
    let schema =
        "message m { REQUIRED INT64 when (TIMESTAMP(MICROS, true)); REQUIRED DOUBLE a; OPTIONAL DOUBLE b; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default())).unwrap();
    for part in [0..rows / 2, rows / 2..rows] {
        let mut group = writer.next_row_group().unwrap();
        let times: Vec<i64> = part.clone().map(|row| row as i64 * 60_000_000).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        let values: Vec<f64> = part.clone().map(|row| row as f64 / 3.0).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
        let levels: Vec<i16> = part.clone().map(|row| i16::from(row % 3 != 0)).collect();
        let there: Vec<f64> = part.filter(|row| row % 3 != 0).map(|row| row as f64).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&there, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn a_wide_file_gives_its_columns() {
    let found = read(wide(1000), MOST).unwrap();
    assert_eq!(found.names, ["a", "b"]);
    assert_eq!((found.times.len(), found.times[999]), (1000, 999 * 60_000));
    assert!((0..1000).all(|row| found.signals[0][row] == row as f64 / 3.0));
    assert!((0..1000).all(|row| found.signals[1][row].is_nan() == (row % 3 == 0)));
    assert_eq!(read(wide(1000), 1999).unwrap_err(), Error::TooMany { values: 2000, limit: 1999 });
}

/// A long file: milliseconds, a metric, a host, a value.
fn long(rows: &[(i64, &str, &str, f64)]) -> Vec<u8> {
    let schema = "message m { REQUIRED INT64 ts (TIMESTAMP(MILLIS, true)); REQUIRED BYTE_ARRAY metric (STRING); REQUIRED BYTE_ARRAY host (STRING); REQUIRED DOUBLE value; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts = |text: fn(&(i64, &str, &str, f64)) -> String| {
        rows.iter().map(|row| ByteArray::from(text(row).as_str())).collect::<Vec<_>>()
    };
    let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    for text in [texts(|row| row.1.to_owned()), texts(|row| row.2.to_owned())] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&text, None, None).unwrap();
        column.close().unwrap();
    }
    let values: Vec<f64> = rows.iter().map(|row| row.3).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_long_file_in_any_order_gives_a_column_for_each_signal() {
    let rows = [
        (120, "cpu", "b", 4.0),
        (0, "cpu", "a", 1.0),
        (60, "cpu", "a", 2.0),
        (0, "rps", "a", 3.0),
        (60, "cpu", "b", 5.0),
    ];
    let found = read(long(&rows), MOST).unwrap();
    assert_eq!(
        (found.names.clone(), found.times.clone()),
        (vec!["cpu{host=a}".to_owned(), "cpu{host=b}".into(), "rps{host=a}".into()], vec![0, 60, 120])
    );
    assert_eq!(
        (found.signals[0][..2].to_vec(), found.signals[1][1..].to_vec()),
        (vec![1.0, 2.0], vec![5.0, 4.0])
    );
    assert!(found.signals[0][2].is_nan() && found.signals[2][1].is_nan());
    let twice = [rows[0], rows[1], rows[0]];
    assert_eq!(
        read(long(&twice), MOST).unwrap_err(),
        Error::Twice { signal: "cpu{host=b}".into(), time: 120 }
    );
}

#[test]
fn two_points_at_one_time_are_refused_also_where_one_is_missing() {
    let (missing, later, value) = ((0, "cpu", "a", f64::NAN), (60, "cpu", "a", 1.0), (0, "cpu", "a", 2.0));
    let twice = Error::Twice { signal: "cpu{host=a}".into(), time: 0 };
    for rows in [[missing, later, value], [value, later, missing], [missing, later, missing]] {
        assert_eq!(read(long(&rows), MOST).unwrap_err(), twice);
    }
}

#[test]
fn no_byte_of_a_file_can_do_harm() {
    assert_eq!(read(Vec::new(), MOST).unwrap_err(), Error::NotParquet);
    assert!(read(b"PAR1PAR1PAR1".to_vec(), MOST).is_err());
    let whole = wide(64);
    for cut in (0..whole.len()).step_by(7) {
        assert!(read(whole[..cut].to_vec(), MOST).is_err(), "cut at {cut}");
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut answers = [0, 0];
    for place in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[place] ^= flip;
            // An error or other values, never the end of the process.
            answers[usize::from(read(broken, MOST).is_err())] += 1;
        }
    }
    std::panic::set_hook(hook);
    assert!(answers[1] > 100, "{answers:?}");
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap().to_owned();
    let venv = std::env::var_os("BACKLOT_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    let is_there = python.is_file()
        && Command::new(&python)
            .args(["-c", "import pyarrow, pandas"])
            .output()
            .is_ok_and(|ended| ended.status.success());
    if is_there {
        return Some(python);
    }
    let line = "skipped: pyarrow or pandas is missing; run `cargo xtask setup`";
    assert!(std::env::var("BACKLOT_REQUIRE_ALL").as_deref() != Ok("1"), "{line}");
    eprintln!("{line}");
    None
}

fn written(script: &str) -> Option<Vec<(String, Result<Columns, Error>)>> {
    let python = python()?;
    let folder = tempfile::tempdir().unwrap();
    let ended = Command::new(python).args(["-c", script]).current_dir(&folder).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    Some(files.iter().map(|path| (named(path), read(std::fs::read(path).unwrap(), MOST))).collect())
}

#[test]
fn what_pandas_and_pyarrow_write_is_read() {
    let script = r#"
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
times = pd.date_range("2026-01-01", periods=500, freq="1min")
frame = pd.DataFrame({"a": np.arange(500) / 3, "n": np.arange(500, dtype=np.int32), "u": np.full(500, 2**63, dtype=np.uint64), "f": np.arange(500, dtype=np.float32), "yes": np.arange(500) % 2 == 0}, index=times)
frame.loc[frame.index[7], "a"] = np.nan
frame.to_parquet("index.parquet")
for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
    frame.rename_axis("time").reset_index().to_parquet(f"codec-{codec}.parquet", compression=codec, index=False)
pq.write_table(pa.Table.from_pandas(frame), "v1.parquet", version="1.0", use_deprecated_int96_timestamps=True, use_dictionary=False, row_group_size=77, data_page_version="2.0")
long = frame[["a", "f"]].rename_axis("time").reset_index()
long = pd.concat([long.assign(host=host, zone=pd.Categorical([zone] * 500)) for host, zone in [("x", "eu"), ("y", None)]])
long.to_parquet("long.parquet", index=False)
odd = pa.table({"time": pa.array([0, 60, 120]), "list": pa.array([[1], [2], [3]]), "v": pa.array([1.5, None, 2.5])})
pq.write_table(odd, "odd.parquet")
pq.write_table(pa.table({"x": pa.array([1.0])}), "timeless.parquet")
pq.write_table(pa.table({"time": pa.array([1.0]), "text": pa.array(["a"])}), "numberless.parquet")
pq.write_table(pa.table({"time": pa.array([0, None, 1]), "v": pa.array([1, 2, 3])}), "timeless-row.parquet")
"#;
    let Some(files) = written(script) else { return };
    let start = 1_767_225_600_000;
    for (name, found) in &files {
        match name.as_str() {
            "timeless" => assert!(matches!(found, Err(Error::NoTime(_))), "{found:?}"),
            "numberless" => assert_eq!(found.as_ref().unwrap_err(), &Error::NoNumbers),
            "timeless-row" => assert_eq!(found.as_ref().unwrap_err(), &Error::TimeMissing(2)),
            "odd" => {
                let found = found.as_ref().unwrap();
                assert_eq!(
                    (found.names.clone(), found.times.clone()),
                    (vec!["v".to_owned()], vec![0, 60_000, 120_000])
                );
                assert!(found.signals[0][1].is_nan() && found.notes[0].contains("list"), "{:?}", found.notes);
            }
            "long" => {
                let found = found.as_ref().unwrap();
                assert_eq!(found.names, ["a{host=x,zone=eu}", "a{host=y}", "f{host=x,zone=eu}", "f{host=y}"]);
                assert_eq!((found.times[499] - start, found.signals[2][499]), (499 * 60_000, 499.0));
            }
            _ => {
                let found = found.as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(found.names, ["a", "n", "u", "f", "yes"], "{name}");
                assert_eq!((found.times[0], found.times[499]), (start, start + 499 * 60_000), "{name}");
                assert!(found.signals[0][7].is_nan() && found.signals[0][9] == 3.0, "{name}");
                assert_eq!(
                    (found.signals[1][499], found.signals[2][3], found.signals[4][..2].to_vec()),
                    (499.0, 2_f64.powi(63), vec![1.0, 0.0]),
                    "{name}"
                );
            }
        }
    }
}
