//! What changed between two versions of a notebook, cell by cell.
//!
//! Cells are matched by their ids first; those without a match by equal kind and source, in order. What is left over was added
//! or removed. A text diff of two notebooks drowns in outputs and counts; this one says which part of which cell changed.

use std::collections::{HashMap, HashSet};

use crate::notebook::{Cell, Notebook};

/// What became of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in the new version only.
    Added,
    /// It was in the old version only.
    Removed,
    /// It is in both and differs; it says in what.
    Changed(Vec<Part>),
    /// It is the same and stands elsewhere among the cells that are in both.
    Moved,
}

/// A part of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its text.
    Source,
    /// What it is.
    Kind,
    /// Its outputs.
    Outputs,
    /// Its metadata, besides the record of runs.
    Metadata,
}

/// One changed cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellChange {
    /// Its place in the old version.
    pub old: Option<usize>,
    /// Its place in the new version.
    pub new: Option<usize>,
    /// What became of it.
    pub change: Change,
}

/// Compares two notebooks. Unchanged cells are left out; the order is that of the new version, with removed cells where they
/// were.
pub fn diff(old: &Notebook, new: &Notebook) -> Vec<CellChange> {
    let pairs = matched(old, new);
    let partner_of_new: HashMap<usize, usize> = pairs.iter().map(|(old, new)| (*new, *old)).collect();
    let kept: HashSet<usize> = pairs.iter().map(|(old, _)| *old).collect();
    let in_order = longest_increasing(&pairs);
    let mut changes = Vec::new();
    let mut next_old = 0;
    let removed_up_to = |changes: &mut Vec<CellChange>, next_old: &mut usize, end: usize| {
        while *next_old < end {
            if !kept.contains(next_old) {
                changes.push(CellChange { old: Some(*next_old), new: None, change: Change::Removed });
            }
            *next_old += 1;
        }
    };
    for (index, cell) in new.cells.iter().enumerate() {
        let Some(before) = partner_of_new.get(&index).copied() else {
            changes.push(CellChange { old: None, new: Some(index), change: Change::Added });
            continue;
        };
        if in_order.contains(&before) {
            removed_up_to(&mut changes, &mut next_old, before);
        }
        let parts = changed_parts(&old.cells[before], cell);
        let change = if !parts.is_empty() {
            Change::Changed(parts)
        } else if in_order.contains(&before) {
            continue;
        } else {
            Change::Moved
        };
        changes.push(CellChange { old: Some(before), new: Some(index), change });
    }
    removed_up_to(&mut changes, &mut next_old, old.cells.len());
    changes
}

/// Pairs of places, in the order of the new version.
fn matched(old: &Notebook, new: &Notebook) -> Vec<(usize, usize)> {
    let by_id: HashMap<&str, usize> =
        old.cells.iter().enumerate().filter_map(|(index, cell)| Some((cell.id()?, index))).collect();
    let mut taken = HashSet::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut alone = Vec::new();
    for (index, cell) in new.cells.iter().enumerate() {
        match cell.id().and_then(|id| by_id.get(id)).copied().filter(|before| taken.insert(*before)) {
            Some(before) => pairs.push((before, index)),
            None => alone.push(index),
        }
    }
    let mut by_text: HashMap<(String, &str), Vec<usize>> = HashMap::new();
    for (index, cell) in old.cells.iter().enumerate().rev().filter(|(index, _)| !taken.contains(index)) {
        by_text.entry((format!("{:?}", cell.kind()), cell.source())).or_default().push(index);
    }
    for index in alone {
        let cell = &new.cells[index];
        let places = by_text.get_mut(&(format!("{:?}", cell.kind()), cell.source()));
        if let Some(before) = places.and_then(Vec::pop) {
            pairs.push((before, index));
        }
    }
    pairs.sort_by_key(|(_, new)| *new);
    pairs
}

/// The old places of the longest run of pairs that are in the same order in both: the others moved.
fn longest_increasing(pairs: &[(usize, usize)]) -> HashSet<usize> {
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (index, (old, _)) in pairs.iter().enumerate() {
        let place = tails.partition_point(|tail| pairs[*tail].0 < *old);
        before.push(place.checked_sub(1).map(|place| tails[place]));
        if place == tails.len() { tails.push(index) } else { tails[place] = index }
    }
    let mut kept = HashSet::new();
    let mut next = tails.last().copied();
    while let Some(index) = next {
        kept.insert(pairs[index].0);
        next = before[index];
    }
    kept
}

fn changed_parts(old: &Cell, new: &Cell) -> Vec<Part> {
    let metadata = |cell: &Cell| {
        let mut metadata = cell.metadata().clone();
        for run in ["papermill", "execution"] {
            metadata.shift_remove(run);
        }
        metadata
    };
    let outputs = |cell: &Cell| {
        let mut outputs = cell.outputs().to_vec();
        for output in outputs.iter_mut().filter_map(crate::json::Value::as_object_mut) {
            output.shift_remove("execution_count");
        }
        outputs
    };
    let mut parts = Vec::new();
    if old.source() != new.source() {
        parts.push(Part::Source);
    }
    if old.kind() != new.kind() {
        parts.push(Part::Kind);
    }
    if outputs(old) != outputs(new) {
        parts.push(Part::Outputs);
    }
    if metadata(old) != metadata(new) {
        parts.push(Part::Metadata);
    }
    parts
}

/// A line of a text diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// In the old text only.
    Old(&'a str),
    /// In the new text only.
    New(&'a str),
}

/// The most lines for which the smallest difference is sought; beyond it everything between the equal ends differs. The table
/// of the search grows with the product of both lengths.
const MAX_LINES: usize = 2_000;

/// The lines of two texts, with the fewest changes.
pub fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(old, new)| old == new).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<Line<'a>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    if a.len() > MAX_LINES || b.len() > MAX_LINES {
        out.extend(a.iter().map(|line| Line::Old(line)));
        out.extend(b.iter().map(|line| Line::New(line)));
    } else {
        // common[i][j]: the length of the longest common subsequence of a[i..] and b[j..].
        let width = b.len() + 1;
        let mut common = vec![0_u16; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                common[i * width + j] = if a[i] == b[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                out.push(Line::Same(a[i]));
                (i, j) = (i + 1, j + 1);
            } else if j == b.len()
                || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
            {
                out.push(Line::Old(a[i]));
                i += 1;
            } else {
                out.push(Line::New(b[j]));
                j += 1;
            }
        }
    }
    out.extend(old[old.len() - tail..].iter().map(|line| Line::Same(line)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notebook(cells: &[(&str, &str)]) -> Notebook {
        let mut notebook = Notebook::new();
        notebook.cells = cells.iter().map(|(id, source)| Cell::code((*id).to_owned(), source)).collect();
        notebook
    }

    fn change(old: Option<usize>, new: Option<usize>, change: Change) -> CellChange {
        CellChange { old, new, change }
    }

    #[test]
    fn cells_are_matched_by_id_then_by_source() {
        let old = notebook(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        let new = notebook(&[("a", "1"), ("c", "three"), ("x", "new"), ("y", "4")]);
        assert_eq!(
            diff(&old, &new),
            [
                change(Some(1), None, Change::Removed),
                change(Some(2), Some(1), Change::Changed(vec![Part::Source])),
                change(None, Some(2), Change::Added),
            ]
        );
        assert!(diff(&old, &old).is_empty());
    }

    #[test]
    fn a_move_is_one_move() {
        let old = notebook(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let new = notebook(&[("c", "3"), ("a", "1"), ("b", "2")]);
        assert_eq!(diff(&old, &new), [change(Some(2), Some(0), Change::Moved)]);
    }

    #[test]
    fn a_run_changes_outputs_and_nothing_else() {
        let old = notebook(&[("a", "1")]);
        let mut new = old.clone();
        new.cells[0].metadata_object("papermill").insert("duration".to_owned(), 1.0.into());
        new.cells[0].outputs_mut().push(crate::scraps::glue("n", &1_i64.into()));
        assert_eq!(diff(&old, &new), [change(Some(0), Some(0), Change::Changed(vec![Part::Outputs]))]);
    }

    #[test]
    fn lines_differ_least() {
        use Line::{New, Old, Same};
        assert_eq!(lines("a\nb\nc\nd", "a\nc\nx\nd"), [Same("a"), Old("b"), Same("c"), New("x"), Same("d")]);
        assert_eq!(lines("", "a"), [New("a")]);
    }
}
