//! The table: what was measured, how often, and how much the runs differed.

use crate::statistics::{median, range};

/// The headings of [`Table::add`]'s cells.
const HEADINGS: [&str; 7] =
    ["what", "tasks", "runs", "median s", "tasks/s (least to most)", "us/task", "note"];

/// Rows of text, printed with aligned columns.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 7]>,
}

impl Table {
    /// A row of throughput: the seconds of each run.
    pub fn add(&mut self, what: &str, tasks: usize, seconds: &[f64], note: &str) {
        let middle = median(seconds);
        let (least, most) = range(seconds);
        let rate = |seconds: f64| format!("{:.0}", tasks as f64 / seconds);
        self.rows.push([
            what.to_owned(),
            tasks.to_string(),
            seconds.len().to_string(),
            format!("{middle:.3}"),
            format!("{} ({} to {})", rate(middle), rate(most), rate(least)),
            format!("{:.1}", middle / tasks as f64 * 1e6),
            note.to_owned(),
        ]);
    }

    /// A row that is not about throughput, or not there.
    pub fn remark(&mut self, what: &str, note: &str) {
        let mut row: [String; 7] = Default::default();
        what.clone_into(&mut row[0]);
        note.clone_into(&mut row[6]);
        self.rows.push(row);
    }

    /// The table as Markdown, columns aligned.
    pub fn text(&self) -> String {
        let headings = HEADINGS.map(str::to_owned);
        let all = || std::iter::once(&headings).chain(&self.rows);
        // The last column is prose: padding it would only wrap the terminal.
        let widths: Vec<usize> = (0..HEADINGS.len())
            .map(|column| match column {
                6 => 3,
                _ => all().map(|row| row[column].chars().count()).max().unwrap_or(0),
            })
            .collect();
        let mut lines = Vec::new();
        for (number, row) in all().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            lines.push(format!("| {} |", cells.join(" | ")));
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                lines.push(format!("| {} |", rule.join(" | ")));
            }
        }
        lines.join("\n")
    }
}
