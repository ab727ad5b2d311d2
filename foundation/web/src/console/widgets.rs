//! The building blocks of the console's pages.
//!
//! Text given as `&str` is escaped; only [`figure`] takes ready markup. Classes and attributes are the style sheet's and the
//! script's contract and stay inside this file.

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, PreEscaped, html};

use crate::console::Status;

/// A state as a small coloured label.
pub fn chip(status: &Status) -> Markup {
    html! { span class={ "chip " (status.tone()) } { (status) } }
}

/// A section with a heading.
pub fn section(title: &str, body: Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}

/// A bordered box with a heading.
pub fn card(title: &str, body: Markup) -> Markup {
    html! { section.card { h2 { (title) } (body) } }
}

/// Boxes beside each other, as many as fit.
pub fn cards(cards: impl IntoIterator<Item = Markup>) -> Markup {
    html! { div.cards { @for card in cards { (card) } } }
}

/// One figure with its name, for the head of a page; `note` says more in small letters, or is empty.
pub fn stat(name: &str, value: &str, note: &str) -> Markup {
    html! {
        div.stat {
            span.name { (name) }
            span.value { (value) }
            @if !note.is_empty() { span.note { (note) } }
        }
    }
}

/// Figures in a row.
pub fn stats(stats: impl IntoIterator<Item = Markup>) -> Markup {
    html! { div.stats { @for stat in stats { (stat) } } }
}

/// How far something is, from 0 to 1; without a number, that it moves. What is out of range is cut off.
pub fn progress(fraction: Option<f64>, label: &str) -> Markup {
    let fraction = fraction.filter(|fraction| fraction.is_finite()).map(|fraction| fraction.clamp(0.0, 1.0));
    html! {
        div.progress {
            @match fraction {
                Some(fraction) => progress value=(format!("{fraction:.4}")) max="1" aria-label=(label) {},
                None => progress aria-label=(label) {},
            }
            span.note {
                @if let Some(fraction) = fraction {
                    (format!("{:.0} %", (fraction * 100.0).floor()))
                    @if !label.is_empty() { " · " }
                }
                (label)
            }
        }
    }
}

/// Names and values below each other.
pub fn key_values<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Markup)>) -> Markup {
    html! {
        dl.pairs {
            @for (key, value) in pairs { div { dt { (key.as_ref()) } dd { (value) } } }
        }
    }
}

/// What a list shows while it is empty: that it is, and how that changes.
pub fn empty(title: &str, hint: Markup) -> Markup {
    html! { div.empty { p.head { (title) } p.muted { (hint) } } }
}

/// A drawing made by the house's own renderer, with its caption. `svg` is put into the page as it stands: it must not
/// hold anything that a stranger wrote, and no `style` attributes, which the security policy drops.
pub fn figure(svg: String, caption: &str) -> Markup {
    html! {
        figure { div.drawing tabindex="0" role="group" aria-label=(caption) { (PreEscaped(svg)) } figcaption { (caption) } }
    }
}

/// Code or other text in a box of its own, line breaks kept.
pub fn code_block(text: &str) -> Markup {
    html! { pre.code-block tabindex="0" { code { (text) } } }
}

/// A table. On a narrow screen each row becomes a block, its cells named by their columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    id: Option<String>,
    stream: Option<String>,
}

#[derive(Clone, Debug)]
struct Column {
    title: String,
    numeric: bool,
}

#[derive(Clone, Debug)]
struct Row {
    cells: Vec<Markup>,
}

/// Rows that a streaming table keeps on the page.
const STREAMED_ROWS: usize = 200;

impl Table {
    /// A table with these column titles.
    pub fn new<T: Into<String>>(titles: impl IntoIterator<Item = T>) -> Self {
        let columns =
            titles.into_iter().map(|title| Column { title: title.into(), numeric: false }).collect();
        Self { columns, rows: Vec::new(), id: None, stream: None }
    }

    /// Aligns these columns (from 0) as numbers.
    pub fn numeric(mut self, columns: &[usize]) -> Self {
        for &index in columns {
            if let Some(column) = self.columns.get_mut(index) {
                column.numeric = true;
            }
        }
        self
    }

    /// Adds a row; the cells are in the columns' order. The first cell names the row.
    pub fn row(mut self, cells: impl IntoIterator<Item = Markup>) -> Self {
        self.push(cells);
        self
    }

    /// Adds a row in place.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Markup>) {
        self.rows.push(Row { cells: cells.into_iter().collect() });
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts new rows at the top as they come: the event stream at `url` sends messages of kind `row`, each with the markup
    /// of [`Table::row_markup`]. The newest 200 rows stay on the page.
    pub fn stream(mut self, id: impl Into<String>, url: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self.stream = Some(url.into());
        self
    }

    /// One row of this table by itself, for its stream.
    pub fn row_markup(&self, cells: impl IntoIterator<Item = Markup>) -> Markup {
        self.render_row(&Row { cells: cells.into_iter().collect() })
    }

    /// The table's markup.
    pub fn render(&self) -> Markup {
        let keep = self.stream.as_ref().map(|_| STREAMED_ROWS);
        html! {
            div.table {
                table {
                    thead { tr { @for column in &self.columns { th scope="col" class=[column.numeric.then_some("number")] { (column.title) } } } }
                    tbody id=[self.id.as_deref()] data-stream=[self.stream.as_deref()] data-keep=[keep] {
                        @for row in &self.rows { (self.render_row(row)) }
                    }
                }
            }
        }
    }

    fn render_row(&self, row: &Row) -> Markup {
        html! {
            tr {
                @for (column, cell) in self.columns.iter().zip(&row.cells) {
                    td data-label=(column.title) class=[column.numeric.then_some("number")] { (cell) }
                }
            }
        }
    }
}

/// Lines of a log, scrolled to its end and kept there while it grows.
#[derive(Clone, Debug)]
pub struct LogView<'a> {
    /// The element's id, unique on the page.
    pub id: &'a str,
    /// What it is, for screen readers.
    pub label: &'a str,
    /// The lines there are.
    pub lines: &'a [String],
    /// Where further lines come from: an event stream that sends messages of kind `line`, and `end` when there will be
    /// no more.
    pub stream: Option<&'a str>,
}

/// Lines that a streaming log keeps on the page; the rest is a download away.
const STREAMED_LINES: usize = 5000;

impl LogView<'_> {
    /// The log's markup.
    pub fn render(&self) -> Markup {
        let keep = self.stream.map(|_| STREAMED_LINES);
        html! {
            // No white space between the lines: inside `pre` it would show.
            pre.log id=(self.id) tabindex="0" role="log" aria-label=(self.label) data-stream=[self.stream] data-keep=[keep] {
                @for line in self.lines { span.line { (line) "\n" } }
            }
        }
    }
}

/// A part of a page that is fetched again while it changes. The script fetches the page at its own address and puts the
/// element of the same id in this one's place, until the server sends one that is no longer live.
pub fn live(id: &str, every: Duration, body: Markup) -> Markup {
    html! { div id=(id) data-live=(every.as_millis()) { (body) } }
}

/// The same part once it will not change any more.
pub fn settled(id: &str, body: Markup) -> Markup {
    html! { div id=(id) { (body) } }
}

/// How a button looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// One among others.
    #[default]
    Normal,
    /// What most people want here.
    Primary,
    /// It destroys something.
    Danger,
}

impl Weight {
    fn class(self) -> &'static str {
        match self {
            Self::Normal => "button",
            Self::Primary => "button primary",
            Self::Danger => "button danger",
        }
    }
}

/// A button that posts a form.
#[derive(Clone, Debug, Default)]
pub struct Action<'a> {
    /// What the button says.
    pub label: &'a str,
    /// Where the form is posted to.
    pub path: &'a str,
    /// Fields that are sent along.
    pub fields: &'a [(&'a str, &'a str)],
    /// A question to answer first. It opens below the button, without script.
    pub confirm: Option<&'a str>,
    /// How the button looks.
    pub weight: Weight,
}

impl Action<'_> {
    /// The button's markup.
    pub fn render(&self) -> Markup {
        let form = |label: &str, class: &str| {
            html! {
                form method="post" action=(self.path) {
                    @for (name, value) in self.fields { input type="hidden" name=(name) value=(value); }
                    button class=(class) type="submit" { (label) }
                }
            }
        };
        html! {
            @match self.confirm {
                None => (form(self.label, self.weight.class())),
                Some(question) => {
                    details.confirm {
                        summary class=(self.weight.class()) { (self.label) }
                        div.popover { p { (question) } (form(&format!("Yes, {}", lower_first(self.label)), self.weight.class())) }
                    }
                }
            }
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// One choice of a filter.
#[derive(Clone, Debug)]
pub struct FilterLink<'a> {
    /// What it says.
    pub label: &'a str,
    /// Where it leads.
    pub path: String,
    /// Whether it is the present choice.
    pub current: bool,
    /// How many it would show, if known.
    pub count: Option<u64>,
}

/// Choices of which one holds, as a row of links.
pub fn filter(label: &str, links: &[FilterLink<'_>]) -> Markup {
    html! {
        nav.filter aria-label=(label) {
            @for link in links {
                a href=(link.path) aria-current=[link.current.then_some("true")] {
                    (link.label) @if let Some(count) = link.count { span.count { (crate::console::format::number(count)) } }
                }
            }
        }
    }
}

/// Links to the neighbouring pages of a long list; a side without a page is left out. `summary` says what is shown:
/// "51 to 100".
pub fn pager(newer: Option<&str>, older: Option<&str>, summary: &str) -> Markup {
    html! {
        nav.pager aria-label="Further pages" {
            span.muted { (summary) }
            span.links {
                @if let Some(path) = newer { a.button href=(path) rel="prev" { "← Newer" } }
                @if let Some(path) = older { a.button href=(path) rel="next" { "Older →" } }
            }
        }
    }
}

/// A path with a query string made of these pairs, each percent-encoded; pairs with an empty value are left out.
///
/// ```
/// use backlot_web::console::widgets::link;
/// assert_eq!(link("/runs", &[("state", "failed"), ("kind", ""), ("q", "a b&c")]), "/runs?state=failed&q=a%20b%26c");
/// ```
pub fn link(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    let mut separator = '?';
    for (key, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        let (key, value) = (path_segment(key), path_segment(value));
        write!(text, "{separator}{key}={value}").expect("invariant: writing to a String cannot fail");
        separator = '&';
    }
    text
}

/// A text as one segment of a path, percent-encoded: everything but the unreserved characters of RFC 3986, section 2.3.
pub fn path_segment(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_everywhere() {
        let hostile = "<script>alert(1)</script>\" onclick=\"x";
        let log = [hostile.to_owned()];
        let pieces = [
            chip(&Status::from_name(hostile)),
            section(hostile, html! {}),
            stat(hostile, hostile, hostile),
            progress(Some(0.5), hostile),
            key_values([(hostile, html! { (hostile) })]),
            empty(hostile, html! {}),
            code_block(hostile),
            Table::new([hostile]).row([html! { (hostile) }]).stream(hostile, hostile).render(),
            LogView { id: hostile, label: hostile, lines: &log, stream: Some(hostile) }.render(),
            live(hostile, Duration::from_secs(1), html! {}),
            Action {
                label: hostile,
                path: hostile,
                fields: &[(hostile, hostile)],
                confirm: Some(hostile),
                weight: Weight::Danger,
            }
            .render(),
            filter(
                hostile,
                &[FilterLink { label: hostile, path: hostile.to_owned(), current: true, count: Some(1) }],
            ),
            pager(Some(hostile), Some(hostile), hostile),
        ];
        for piece in pieces {
            let text = piece.into_string();
            assert!(!text.contains("<script") && !text.contains("\" onclick"), "{text}");
        }
    }

    #[test]
    fn nothing_needs_inline_style_or_script() {
        let text = html! { (progress(Some(0.25), "x")) (figure("<svg/>".into(), "y")) }.into_string();
        assert!(!text.contains("style=") && !text.contains("onclick="), "{text}");
    }

    #[test]
    fn odd_fractions_do_no_harm() {
        assert!(progress(Some(7.0), "").into_string().contains("value=\"1.0000\""));
        assert!(progress(Some(-1.0), "").into_string().contains("value=\"0.0000\""));
        assert!(!progress(Some(f64::NAN), "").into_string().contains("value="));
        // Not 100 % before it is done.
        assert!(progress(Some(0.9999), "").into_string().contains("99 %"));
    }

    #[test]
    fn a_short_row_leaves_cells_out_and_a_long_one_is_cut() {
        let table =
            Table::new(["a", "b"]).row([html! { "1" }]).row([html! { "1" }, html! { "2" }, html! { "3" }]);
        assert_eq!(table.render().into_string().matches("<td").count(), 3);
    }
}
