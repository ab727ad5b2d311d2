//! A replay as a picture: the bytes of an object are cells, from the top left to the bottom right.
//!
//! At a moment of the recording a cell is on its way (yellow), buffered and not read yet (green), or read (blue); what was
//! never touched stays dark. At the end of a recording green is what was fetched in vain.

use backlot_figures::{AutoRange, Axis, Color, Colorbar, Figure, Grid, Heatmap, Layout, Size, Theme, render};

use super::{Operation, Replay};

/// Columns and rows of the map.
const COLUMNS: u64 = 128;
const ROWS: u64 = 64;
/// The size of the picture, in points.
const SIZE: (u32, u32) = (1100, 620);

/// What a cell is at a moment; later states win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// No byte of it was touched.
    Untouched,
    /// Bytes of it are on their way.
    OnItsWay,
    /// Bytes of it are buffered and none was read.
    Buffered,
    /// Bytes of it were read.
    Read,
}

const PALETTE: [(Cell, &str, char); 4] = [
    (Cell::Untouched, "#22272e", '·'),
    (Cell::OnItsWay, "#e3b341", '▒'),
    (Cell::Buffered, "#3fa45b", '▓'),
    (Cell::Read, "#2f6fdb", '█'),
];

/// The cells of an object at a moment, `cells` of them, each an equal share of its bytes.
pub fn cells(replay: &Replay, object: u32, moment: u64, cells: u64) -> Vec<Cell> {
    let size = replay.metadata.objects.get(object as usize).map_or(0, |object| object.size).max(1);
    let mut map = vec![Cell::Untouched; cells as usize];
    let at = |offset: u64| u128::from(offset) * u128::from(cells) / u128::from(size);
    for record in replay.records.iter().filter(|record| record.object == object && record.len > 0) {
        let begun = record.at.saturating_sub(record.took);
        let state = match record.operation {
            Operation::Read if record.is_ok && record.at <= moment => Cell::Read,
            Operation::Fetch if record.is_ok && record.at <= moment => Cell::Buffered,
            Operation::Fetch if begun <= moment && record.at > moment => Cell::OnItsWay,
            Operation::Read | Operation::Fetch | Operation::Open => continue,
        };
        let last = at((record.offset + record.len - 1).min(size - 1)).min(u128::from(cells) - 1) as usize;
        let first = (at(record.offset) as usize).min(last);
        for cell in &mut map[first..=last] {
            *cell = (*cell).max(state);
        }
    }
    map
}

/// The end of the recording, in microseconds.
pub fn end(replay: &Replay) -> u64 {
    replay.records.iter().map(|record| record.at).max().unwrap_or_default()
}

/// The figure of an object at a moment.
pub fn figure(replay: &Replay, object: u32, moment: u64) -> Figure {
    let map = cells(replay, object, moment, COLUMNS * ROWS);
    let z: Vec<Vec<f64>> = map
        .chunks(COLUMNS as usize)
        .map(|row| row.iter().map(|&cell| f64::from(cell as u8)).collect())
        .collect();
    let steps = PALETTE.len() as f64;
    let stops: Vec<(f64, Color)> = PALETTE
        .iter()
        .enumerate()
        .filter_map(|(i, (_, text, _))| Some((i, text.parse::<Color>().ok()?)))
        .flat_map(|(i, color)| [(i as f64 / steps, color), ((i + 1) as f64 / steps, color)])
        .collect();
    let known = replay.metadata.objects.get(object as usize);
    let (name, size) = known.map_or(("", 0), |known| (known.name.as_str(), known.size));
    let row = size.div_ceil(ROWS) as f64 / f64::from(1 << 20);
    let title = format!("{name} after {:.3} s", moment as f64 / 1e6);
    let bar = Colorbar::default().title("state");
    Figure::new().trace(Heatmap::new(Grid(z)).colorscale(stops).zmin(-0.5).zmax(3.5).colorbar(bar)).layout(
        Layout::default()
            .title(title.as_str())
            .xaxis(Axis::titled(
                format!(
                    "dark untouched, yellow on its way, green buffered, blue read; a row is {row:.2} MiB"
                )
                .as_str(),
            ))
            .yaxis(Axis::titled("rows, from the object's beginning").autorange(AutoRange::Reversed)),
    )
}

/// The picture as a PNG.
pub fn png(replay: &Replay, object: u32, moment: u64) -> Vec<u8> {
    render::png(&figure(replay, object, moment), Size::new(SIZE.0, SIZE.1), Theme::Dark, 1.5)
}

/// The picture for a terminal, with what its signs mean.
pub fn text(replay: &Replay, object: u32, moment: u64, columns: u64, rows: u64) -> String {
    let (columns, rows) = (columns.max(1), rows.max(1));
    let map = cells(replay, object, moment, columns * rows);
    let sign = |cell: Cell| PALETTE[cell as usize].2;
    let mut out: String = map
        .chunks(columns as usize)
        .map(|row| row.iter().map(|&cell| sign(cell)).collect::<String>() + "\n")
        .collect();
    out.push_str("· untouched  ▒ on its way  ▓ buffered, not read  █ read");
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Metadata, Record, RecordedObject};
    use super::*;

    fn replay() -> Replay {
        let object = RecordedObject { name: "film".into(), size: 800, ..RecordedObject::default() };
        let record = |operation, at, took, offset, len| Record {
            operation,
            at,
            took,
            object: 0,
            offset,
            len,
            is_ok: true,
        };
        Replay {
            metadata: Metadata { objects: vec![object], ..Metadata::default() },
            records: vec![
                record(Operation::Fetch, 10, 5, 0, 400),
                record(Operation::Read, 20, 1, 0, 100),
                record(Operation::Fetch, 40, 20, 700, 100),
            ],
            counters: None,
        }
    }

    #[test]
    fn cells_tell_what_was_done_by_a_moment() {
        use Cell::{Buffered, OnItsWay, Read, Untouched};
        let at = |moment| cells(&replay(), 0, moment, 8);
        assert_eq!(at(0), [Untouched; 8]);
        assert_eq!(at(7)[..5], [OnItsWay, OnItsWay, OnItsWay, OnItsWay, Untouched]);
        assert_eq!(at(30)[..5], [Read, Buffered, Buffered, Buffered, Untouched]);
        assert_eq!(at(30)[7], OnItsWay);
        assert_eq!(at(end(&replay()))[7], Buffered);
        assert_eq!(text(&replay(), 0, 30, 4, 2).lines().next(), Some("█▓▓▓"));
        assert!(png(&replay(), 0, 30).starts_with(b"\x89PNG"));
        // An object that is not there, and one of no bytes.
        assert_eq!(cells(&replay(), 9, 30, 2), [Untouched; 2]);
    }
}
