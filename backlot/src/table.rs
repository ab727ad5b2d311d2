//! Columns of text for people.

use std::fmt::Write;

use anstyle::Style;

/// A table with a head; the last column is not padded.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

impl Cell {
    /// A cell in a colour, which is left out where colours are off.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(|word| Cell::styled(word, Style::new().bold())).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines, columns in line. Styles are written as escapes; the stream they go to keeps or strips them.
    pub(crate) fn render(&self) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(widest).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut gap = 0;
            for (cell, width) in row.iter().zip(&widths) {
                // The gap is written before the next word only, so that no line ends in spaces.
                if !cell.text.is_empty() {
                    let Cell { text: word, style } = cell;
                    write!(text, "{:gap$}{style}{word}{style:#}", "")
                        .expect("invariant: a string takes any text");
                    gap = 0;
                }
                gap += width - cell.text.chars().count() + 2;
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_they_end() {
        let mut table = Table::new(["A", "B", ""]);
        table.row(["ä".into(), Cell::default(), "c".into()]);
        table.row(["long".into(), "x".into(), Cell::default()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "A     B\nä        c\nlong  x\n");
    }
}
