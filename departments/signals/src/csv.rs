//! Reading CSV.
//!
//! The first line names the columns, the first of which is the time; every further line is one point of all signals. Times are RFC 3339, or numbers of
//! seconds since 1970 (milliseconds from 10¹¹ on), and rise from line to line. A field that is empty, `NaN`, `null`, `NA`, `N/A`, `None` or `<NA>` is a missing point. Names and
//! numbers may stand in double quotes. Times need not be regular, see [`Table::from_columns`].
//!
//! An incident waits for this: the lines are shared out over the processors, each part is parsed row after row, and then turned into columns a strip of
//! columns at a time, so that every row's cache line is read once for all of the strip.

use std::num::NonZeroUsize;

use crate::table::{MOST_VALUES, parse_time};
use crate::{Error, Table};

/// Text below this is parsed on one thread: starting others takes longer.
const PART_BYTES: usize = 1 << 20;

/// Columns turned at once: a cache line of values.
const STRIP: usize = 8;

/// Reads a table.
///
/// # Errors
/// [`Error::Csv`] with the line, [`Error::Table`].
pub(crate) fn read(text: &str) -> Result<Table, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.is_empty() {
        return Err(Error::Table("is empty; give a line of names".into()));
    }
    let (first, body) = text.split_once('\n').unwrap_or((text, ""));
    let wrong = |reason: String| Error::Csv { line: 1, reason };
    let Some(mut names) = fields(first.trim_end_matches('\r')) else {
        return Err(wrong("a double quote is not closed; close it, or double it inside a name".into()));
    };
    if names.len() < 2 {
        return Err(wrong("there is no signal beside the time; separate names by commas".into()));
    }
    names.remove(0);
    if let Some(place) = names.iter().position(String::is_empty) {
        return Err(wrong(format!("column {} has no name; name it", place + 2)));
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let parts = parts(body, threads.min(body.len() / PART_BYTES + 1));
    let width = names.len();
    let parsed = std::thread::scope(|scope| {
        let helpers: Vec<_> = parts[1..].iter().map(|part| scope.spawn(move || rows(part, width))).collect();
        let mut parsed = vec![rows(parts[0], width)];
        for helper in helpers {
            match helper.join() {
                Ok(part) => parsed.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parsed
    });
    let mut blocks = Vec::with_capacity(parsed.len());
    let (mut before, mut count) = (1, 0);
    let mut last = None;
    for part in parsed {
        let wrong = |line: usize, reason: String| Error::Csv { line: before + line, reason };
        // What stands earlier in the file is told first.
        if let Some((line, &time)) = part.lines.first().zip(part.times.first())
            && last.is_some_and(|last| last >= time)
        {
            return Err(wrong(*line, NOT_AFTER.to_owned()));
        }
        if let Some((line, reason)) = part.wrong {
            return Err(wrong(line, reason));
        }
        before += part.all_lines;
        count += part.values.len();
        if count > MOST_VALUES {
            return Err(Error::Table(format!(
                "has more than {MOST_VALUES} values; give fewer signals or wider steps"
            )));
        }
        last = part.times.last().copied().or(last);
        blocks.push(part);
    }
    let times: Vec<i64> = blocks.iter().flat_map(|block| block.times.iter().copied()).collect();
    let columns = turned(&blocks, times.len(), width, threads);
    Table::from_columns(&times, names, columns)
}

const NOT_AFTER: &str = "its time is not after the one before; sort the lines and leave out doubles";

/// The text in so many parts of whole lines.
fn parts(text: &str, count: usize) -> Vec<&str> {
    let mut parts = Vec::with_capacity(count);
    let mut rest = text;
    for left in (1..=count).rev() {
        let middle = rest.len() / left;
        let end = rest.as_bytes()[middle..].iter().position(|byte| *byte == b'\n');
        let end = if left == 1 { rest.len() } else { end.map_or(rest.len(), |end| middle + end + 1) };
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
}

#[derive(Default)]
struct Rows {
    times: Vec<i64>,
    /// The line of each time, from 1 within the part.
    lines: Vec<usize>,
    values: Vec<f64>,
    all_lines: usize,
    /// The first line that is wrong, and why; nothing after it is read.
    wrong: Option<(usize, String)>,
}

fn rows(text: &str, width: usize) -> Rows {
    let mut rows = Rows::default();
    for line in text.lines() {
        rows.all_lines += 1;
        if line.trim().is_empty() {
            continue;
        }
        if let Err(reason) = rows.line(line, width) {
            rows.wrong = Some((rows.all_lines, reason));
            break;
        }
        if rows.values.len() > MOST_VALUES {
            break;
        }
    }
    rows
}

impl Rows {
    fn line(&mut self, line: &str, width: usize) -> Result<(), String> {
        let mut parts = line.split(',');
        let time = parts.next().unwrap_or_default().trim().trim_matches('"');
        let time = parse_time(time).ok_or_else(|| {
            format!("`{}` is no time; write RFC 3339 or seconds since 1970", shortened(time))
        })?;
        if self.times.last().is_some_and(|last| *last >= time) {
            return Err(NOT_AFTER.to_owned());
        }
        let before = self.values.len();
        self.values.reserve(width);
        for part in parts {
            let value = parse_value(part.trim()).ok_or_else(|| {
                format!("`{}` is no number; leave missing points empty", shortened(part.trim()))
            })?;
            self.values.push(value);
        }
        let count = self.values.len() - before;
        if count != width {
            return Err(format!(
                "it has {count} values for {width} signals; leave missing points empty, not out"
            ));
        }
        self.times.push(time);
        self.lines.push(self.all_lines);
        Ok(())
    }
}

/// Rows as columns.
fn turned(blocks: &[Rows], points: usize, width: usize, threads: usize) -> Vec<Vec<f64>> {
    let mut columns: Vec<Vec<f64>> = (0..width).map(|_| Vec::with_capacity(points)).collect();
    let share = width.div_ceil(threads).next_multiple_of(STRIP);
    let turn = |first: usize, columns: &mut [Vec<f64>]| {
        for (strip, columns) in columns.chunks_mut(STRIP).enumerate() {
            let from = first + strip * STRIP;
            for block in blocks {
                for row in block.values.chunks_exact(width) {
                    for (column, value) in columns.iter_mut().zip(&row[from..]) {
                        column.push(*value);
                    }
                }
            }
        }
    };
    if points * width * size_of::<f64>() <= PART_BYTES {
        turn(0, &mut columns);
        return columns;
    }
    std::thread::scope(|scope| {
        for (index, part) in columns.chunks_mut(share).enumerate() {
            scope.spawn(move || turn(index * share, part));
        }
    });
    columns
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The fields of a line of names: between commas, quotes taken off and doubled ones halved. `None` when a quote is left open.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields[last].push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => fields[last].push(other),
        }
    }
    (!is_quoted).then(|| fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

fn parse_value(text: &str) -> Option<f64> {
    plain_value(text).or_else(|| plain_value(text.strip_prefix('"')?.strip_suffix('"')?.trim()))
}

/// Most are numbers; what is not is looked at only then. Rust's own parser takes NaN and infinities in any case.
fn plain_value(text: &str) -> Option<f64> {
    text.parse().ok().or(match text {
        "" | "null" | "NULL" | "NA" | "N/A" | "n/a" | "None" | "<NA>" => Some(f64::NAN),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_all_lines_whole_and_errors_name_the_first_wrong_one() {
        let lines: Vec<String> = (0..1000).map(|row| format!("{row},{},{}\n", row * 2, row * 3)).collect();
        let text = lines.concat();
        for count in [1, 2, 3, 7, 64] {
            let parts = parts(&text, count);
            assert_eq!((parts.concat(), parts.len()), (text.clone(), count));
            assert!(parts.iter().all(|part| part.is_empty() || part.ends_with('\n')));
        }
        assert_eq!(parts("one line without an end", 4).concat(), "one line without an end");
    }

    #[test]
    fn exports_of_other_programs_are_understood_and_broken_names_are_named() {
        let table = read("t,a,b,c\r\n0,\"1.5\",N/A,inf\r\n60,\"\",<NA>,-NaN\r\n").unwrap();
        assert_eq!((table.signals[0][0], table.signals[2][0]), (1.5, f64::INFINITY));
        assert!(table.signals[0][1].is_nan() && table.signals[1][0].is_nan() && table.signals[2][1].is_nan());
        let refusal = |text: &str| read(text).unwrap_err().to_string();
        assert!(
            refusal("t,\"a,b\n0,1\n60,1\n").contains("line 1 of the table: a double quote is not closed")
        );
        assert!(refusal("t,a,,b\n0,1,2,3\n60,1,2,3\n").contains("column 3 has no name"));
        let quotes = "\"".repeat(1 << 20);
        assert!(refusal(&format!("t,a\n0,{quotes}\n")).contains("is no number"));
    }

    #[test]
    fn a_large_table_is_the_same_as_its_small_parts() {
        // Above the size at which several threads parse.
        let (width, points) = (700, 500);
        let value = |point: usize, signal: usize| (point * 31 + signal * 17) as f64 / 7.0;
        let mut text = String::from("t");
        text.extend((0..width).map(|signal| format!(",s{signal}")));
        for point in 0..points {
            text += &format!("\n{}", point * 60);
            text.extend((0..width).map(|signal| format!(",{}", value(point, signal))));
        }
        assert!(text.len() > 4 * PART_BYTES);
        let table = read(&text).unwrap();
        for (signal, values) in table.signals.iter().enumerate() {
            assert_eq!(values.len(), points);
            assert!(values.iter().enumerate().all(|(point, found)| *found == value(point, signal)));
        }
        let broken = text.replacen("\n25200,", "\n25200,x", 1);
        let line = 25_200 / 60 + 2;
        assert!(read(&broken).unwrap_err().to_string().starts_with(&format!("line {line} of the table: `x")));
        let unsorted = text.replacen("\n29940,", "\n1,", 1);
        assert!(
            read(&unsorted).unwrap_err().to_string().contains("line 501 of the table: its time is not after")
        );
    }
}
