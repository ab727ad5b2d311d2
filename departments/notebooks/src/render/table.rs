//! A plain table of HTML, as pandas and reports write them, read and written anew as a table of the console.
//!
//! Only what is text in cells is taken over, so nothing of the markup reaches the page. HTML that holds anything else than one table
//! is none of ours, and goes into a frame without permissions.

use backlot_web::console::widgets::Table;
use maud::{Markup, html};

/// The most rows that are shown; a longer table stays in its frame, which scrolls.
const MAX_ROWS: usize = 500;

/// Tags that structure a table or wrap it, and say nothing themselves.
const KNOWN: [&str; 9] = ["table", "thead", "tbody", "tfoot", "tr", "th", "td", "div", "br"];

#[derive(Default)]
struct Row {
    cells: Vec<String>,
    /// Whether all of it is headings.
    is_head: bool,
}

/// The table of this HTML, if it is one and nothing else.
pub(super) fn render(html_text: &str) -> Option<Markup> {
    let rows = rows(html_text)?;
    let (head, body) = rows.split_first()?;
    if !head.is_head || body.is_empty() || body.len() > MAX_ROWS || head.cells.is_empty() {
        return None;
    }
    let width = head.cells.len();
    if body.iter().any(|row| row.cells.len() != width) {
        return None;
    }
    let is_number = |cell: &String| {
        let digits = cell.trim().trim_end_matches('%').trim();
        digits.is_empty() || digits.replace(',', "").parse::<f64>().is_ok()
    };
    let numeric: Vec<usize> =
        (1..width).filter(|at| body.iter().all(|row| is_number(&row.cells[*at]))).collect();
    let mut table = Table::new(head.cells.iter().cloned()).numeric(&numeric);
    for row in body {
        table.push(row.cells.iter().map(|cell| html! { (cell) }));
    }
    Some(table.render())
}

fn rows(html_text: &str) -> Option<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut cell: Option<String> = None;
    let mut tables = 0;
    let mut rest = html_text;
    loop {
        let (text, after) = rest.split_once('<').unwrap_or((rest, ""));
        match &mut cell {
            Some(cell) => cell.push_str(&plain(text)),
            // Text beside the cells would be lost.
            None if !text.trim().is_empty() => return None,
            None => {}
        }
        if after.is_empty() {
            break;
        }
        let (tag, after) = after.split_once('>')?;
        rest = after;
        let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric() && c != '/').unwrap_or(tag.len());
        let name = tag[..name_end].to_ascii_lowercase();
        if name == "style" {
            rest = rest.split_once("</style>")?.1;
            continue;
        }
        if !KNOWN.contains(&name.trim_matches('/')) || tag.contains("span=") {
            return None;
        }
        match name.as_str() {
            "table" => tables += 1,
            "tr" => rows.push(Row { cells: Vec::new(), is_head: true }),
            "th" => cell = Some(String::new()),
            "td" => {
                rows.last_mut()?.is_head = false;
                cell = Some(String::new());
            }
            "/th" | "/td" => rows.last_mut()?.cells.push(cell.take()?.trim().to_owned()),
            "br" => cell.iter_mut().for_each(|cell| cell.push(' ')),
            _ => {}
        }
    }
    (tables == 1 && cell.is_none()).then_some(rows)
}

/// Text without the escapes that Python's `html.escape` and pandas write.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (escape, letter) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        if text.contains(escape) {
            text = text.replace(escape, letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_anew() {
        let pandas = "<div>\n<style scoped>\n .dataframe { x: y }\n</style>\n<table border=\"1\" class=\"dataframe\">\n  <thead>\n    <tr style=\"text-align: right;\">\n      <th></th>\n      <th>a&amp;b</th>\n    </tr>\n  </thead>\n  <tbody>\n    <tr>\n      <th>0</th>\n      <td>&lt;script&gt;</td>\n    </tr>\n  </tbody>\n</table>\n</div>";
        let shown = render(pandas).unwrap().into_string();
        assert!(
            shown.contains("a&amp;b") && shown.contains("&lt;script&gt;") && !shown.contains("<script"),
            "{shown}"
        );
        assert!(!shown.contains("style") && !shown.contains("dataframe"), "{shown}");
    }

    #[test]
    fn what_is_more_than_a_table_is_left_alone() {
        for odd in [
            "<table><tr><th>a</th></tr><tr><td><img src=x onerror=alert(1)></td></tr></table>",
            "<table><tr><th>a</th></tr><tr><td>1</td></tr></table><script>1</script>",
            "<table><tr><th colspan=\"2\">a</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "<table><tr><th>a</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "<table><tr><th>a</th></tr><tr><td>1</td></tr></table> and more",
            "<table><tr><th>a</th></tr></table>",
            "<td>1</td>",
            "<table><tr><th>a</tr></table>",
            "<b>x</b>",
            "text",
            "",
            "<",
        ] {
            assert!(render(odd).is_none(), "{odd}");
        }
    }
}
