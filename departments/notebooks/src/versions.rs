//! The console's pages of versions: what is kept of each notebook, one version rendered, two compared, an old one restored.
//!
//! Paths of notebooks hold slashes and anything else, so they go in the query. What a notebook holds is shown by
//! [`crate::render`], which trusts none of it.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use backlot_bookstore::{PAGE, Version};
use backlot_notebooks_model::diff::{self, Change, Line};
use backlot_notebooks_model::{Cell, Notebook};
use backlot_web::console::widgets::{self, Action, Table, Weight, link};
use backlot_web::console::{self, Frame, format};
use backlot_web::extract::{Form, Query};
use backlot_web::{ApiError, Caller, attachment};
use bytes::Bytes;
use maud::{Markup, html};
use serde::Deserialize;

use crate::cli::part_word;
use crate::kind::MEDIA_TYPE;
use crate::pages::moment;
use crate::render;
use crate::shop::{Shop, refuse};

/// The longest version that is rendered; a longer one can be fetched.
const MAX_SHOWN: u64 = 32 << 20;

/// The most changed cells on a page.
const MAX_CHANGES: usize = 200;

/// The most lines that are the same and stand between two changes; more are told by their number.
const CONTEXT: usize = 3;

/// The pages, relative to `/notebooks`.
pub(crate) fn routes(shop: Shop) -> Router {
    Router::new()
        .route("/versions", get(paths))
        .route("/versions/of", get(versions))
        .route("/versions/at", get(at))
        .route("/versions/file", get(file))
        .route("/versions/diff", get(compare))
        .route("/versions/restore", post(restore))
        .route("/versions/versions.css", get(style))
        .with_state(shop)
}

const HOME: &str = "/notebooks/versions";

fn of(path: &str) -> String {
    link("/notebooks/versions/of", &[("path", path)])
}

fn page_of(place: &str, path: &str, version: u64) -> String {
    link(place, &[("path", path), ("version", &version.to_string())])
}

fn diff_of(path: &str, from: u64, to: u64) -> String {
    link("/notebooks/versions/diff", &[("path", path), ("from", &from.to_string()), ("to", &to.to_string())])
}

async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("versions.css")).into_response()
}

fn styled(body: Markup) -> Markup {
    html! { link rel="stylesheet" href="/notebooks/versions/versions.css"; (body) }
}

#[derive(Deserialize)]
struct Listing {
    after: Option<String>,
}

async fn paths(
    State(shop): State<Shop>,
    frame: Frame,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let found = shop.open_for_page()?.paths(listing.after.as_deref()).await.map_err(refuse)?;
    let now = jiff::Timestamp::now();
    let mut table = Table::new(["Notebook", "Versions", "Saved", "By", "Size"]).numeric(&[1, 4]);
    for kept in &found {
        table.push([
            html! { a href=(of(&kept.path)) { (kept.path) } },
            html! { (kept.versions) },
            format::time(moment(kept.newest.saved), now),
            html! { (kept.newest.author) },
            html! { (format::bytes(kept.newest.size)) },
        ]);
    }
    let older = match found.last() {
        Some(last) if found.len() as u32 == PAGE => Some(link(HOME, &[("after", &last.path)])),
        _ => None,
    };
    let body = html! {
        @if table.is_empty() {
            (widgets::empty("No notebook was saved yet", html! {
                "Save one through Jupyter, or keep a file with " code { "backlot notebook keep FILE" }
            }))
        } @else {
            (table.render())
            @if older.is_some() { (widgets::pager(None, older.as_deref(), "")) }
        }
    };
    let frame = frame.crumb("Notebooks", "/notebooks");
    Ok(console::page(&frame, "Versions", body).into_response())
}

#[derive(Deserialize)]
struct Of {
    path: String,
    before: Option<u64>,
}

async fn versions(
    State(shop): State<Shop>,
    frame: Frame,
    Query(of): Query<Of>,
) -> Result<Response, ApiError> {
    let found = shop.open_for_page()?.versions(&of.path, of.before).await.map_err(refuse)?;
    let now = jiff::Timestamp::now();
    let mut table = Table::new(["Version", "Saved", "By", "Size", "Note", ""]).numeric(&[3]);
    for version in &found {
        let number = version.number;
        table.push([
            html! { a href=(page_of("/notebooks/versions/at", &version.path, number)) { "Version " (number) } },
            format::time(moment(version.saved), now),
            html! { (version.author) },
            html! { (format::bytes(version.size)) },
            html! { (version.note) },
            html! {
                @if number > 1 { a href=(diff_of(&version.path, number - 1, number)) { "What changed" } }
            },
        ]);
    }
    let older = found.last().filter(|last| last.number > 1).map(|last| {
        let before = last.number.to_string();
        link("/notebooks/versions/of", &[("path", &of.path), ("before", &before)])
    });
    let newest = found.first().map_or(1, |version| version.number);
    let body = html! {
        form.bar method="get" action="/notebooks/versions/diff" {
            input type="hidden" name="path" value=(of.path);
            label { "From version" input type="number" name="from" min="1" value=(newest.saturating_sub(1).max(1)); }
            label { "to version" input type="number" name="to" min="1" value=(newest); }
            button.button type="submit" { "Compare" }
        }
        (table.render())
        @if older.is_some() { (widgets::pager(None, older.as_deref(), "")) }
    };
    let frame = crumbs(frame, None);
    Ok(console::page(&frame, &of.path, body).into_response())
}

fn crumbs(frame: Frame, path: Option<&str>) -> Frame {
    let frame = frame.crumb("Notebooks", "/notebooks").crumb("Versions", HOME);
    match path {
        Some(path) => frame.crumb(path, of(path)),
        None => frame,
    }
}

#[derive(Deserialize)]
struct At {
    path: String,
    version: u64,
}

async fn read(shop: &Shop, path: &str, version: u64) -> Result<(Version, Bytes), ApiError> {
    shop.open_for_page()?.read(path, Some(version)).await.map_err(refuse)
}

async fn at(State(shop): State<Shop>, frame: Frame, Query(at): Query<At>) -> Result<Response, ApiError> {
    let (version, bytes) = read(&shop, &at.path, at.version).await?;
    let now = jiff::Timestamp::now();
    let file = page_of("/notebooks/versions/file", &version.path, version.number);
    let body = html! {
        (widgets::stats([
            widgets::stat("Saved by", &version.author, &version.note),
            widgets::stat("Size", &format::bytes(version.size), "as a file"),
            widgets::stat("Digest", &version.digest.to_hex()[..10], "of its bytes"),
        ]))
        p.note { "Saved " (format::time(moment(version.saved), now)) }
        @match parsed(&version, &bytes) {
            Ok(notebook) => (render::notebook(&notebook)),
            Err(why) => p.alert role="alert" { (why) },
        }
        p.note { a href=(file) { "The notebook as a file" } }
    };
    let number = version.number.to_string();
    let restore = Action {
        label: "Restore",
        path: "/notebooks/versions/restore",
        fields: &[("path", &version.path), ("version", &number)],
        confirm: Some("The file becomes this version again. What it holds now is kept as a version."),
        weight: Weight::Normal,
    };
    let before = (version.number > 1).then(|| diff_of(&version.path, version.number - 1, version.number));
    let frame = crumbs(frame, Some(&version.path));
    let may_write = frame.allows("runs:write");
    let frame = frame.actions(html! {
        @if let Some(before) = before { a.button href=(before) { "What changed" } }
        @if may_write { (restore.render()) }
    });
    Ok(console::page(&frame, &format!("Version {number}"), body).into_response())
}

fn parsed(version: &Version, bytes: &[u8]) -> Result<Notebook, String> {
    if version.size > MAX_SHOWN {
        return Err("This version is too long for a page.".to_owned());
    }
    Notebook::read_as_is(bytes).map_err(|error| error.to_string())
}

async fn file(State(shop): State<Shop>, Query(at): Query<At>) -> Result<Response, ApiError> {
    let (version, bytes) = read(&shop, &at.path, at.version).await?;
    let name = version.path.rsplit('/').next().unwrap_or("notebook.ipynb");
    Ok((attachment(name, MEDIA_TYPE), bytes).into_response())
}

async fn restore(State(shop): State<Shop>, caller: Caller, Form(at): Form<At>) -> Result<Redirect, ApiError> {
    shop.open_for_page()?.restore(&at.path, at.version, caller.name()).await.map_err(refuse)?;
    Ok(Redirect::to(&of(&at.path)))
}

#[derive(Deserialize)]
struct Compare {
    path: String,
    from: u64,
    to: u64,
}

async fn compare(
    State(shop): State<Shop>,
    frame: Frame,
    Query(compare): Query<Compare>,
) -> Result<Response, ApiError> {
    let (from, old) = read(&shop, &compare.path, compare.from).await?;
    let (to, new) = read(&shop, &compare.path, compare.to).await?;
    let body = match (parsed(&from, &old), parsed(&to, &new)) {
        (Ok(old), Ok(new)) => changes(&old, &new),
        (Err(why), _) | (_, Err(why)) => html! { p.alert role="alert" { (why) } },
    };
    let frame = crumbs(frame, Some(&from.path)).wide();
    let title = format!("Version {} to {}", from.number, to.number);
    Ok(console::page(&frame, &title, styled(body)).into_response())
}

/// What changed, cell by cell, as a person sees it: sources as lines, outputs as they look.
fn changes(old: &Notebook, new: &Notebook) -> Markup {
    let found = diff::diff(old, new);
    html! {
        @if found.is_empty() { (widgets::empty("Nothing changed", html! { "The cells of both are equal" })) }
        @for one in found.iter().take(MAX_CHANGES) {
            @let before = one.old.and_then(|at| old.cells.get(at));
            @let after = one.new.and_then(|at| new.cells.get(at));
            section.change {
                h2 { (place(one.old, one.new)) " " span.chip.(tone(&one.change)) { (words(&one.change)) } }
                @if !matches!(one.change, Change::Moved) { (cells(before, after)) }
            }
        }
        @if found.len() > MAX_CHANGES {
            p.note { "The first " (MAX_CHANGES) " of " (found.len()) " changed cells." }
        }
    }
}

fn place(old: Option<usize>, new: Option<usize>) -> String {
    match (old, new) {
        (Some(old), Some(new)) if old == new => format!("Cell {}", new + 1),
        (Some(old), Some(new)) => format!("Cell {}, before {}", new + 1, old + 1),
        (None, Some(at)) | (Some(at), None) => format!("Cell {}", at + 1),
        (None, None) => String::new(),
    }
}

fn tone(change: &Change) -> &'static str {
    match change {
        Change::Added => "good",
        Change::Removed => "bad",
        Change::Moved | Change::Changed(_) => "active",
    }
}

fn words(change: &Change) -> String {
    match change {
        Change::Added => "added".to_owned(),
        Change::Removed => "removed".to_owned(),
        Change::Moved => "moved".to_owned(),
        Change::Changed(parts) => {
            let parts: Vec<&str> = parts.iter().copied().map(part_word).collect();
            format!("{} changed", parts.join(" and "))
        }
    }
}

fn cells(before: Option<&Cell>, after: Option<&Cell>) -> Markup {
    let source = |cell: Option<&Cell>| cell.map(|cell| cell.source().to_owned()).unwrap_or_default();
    let (old, new) = (source(before), source(after));
    let outputs = |cell: Option<&Cell>| cell.map(|cell| cell.outputs().to_vec()).unwrap_or_default();
    let (was, is) = (outputs(before), outputs(after));
    html! {
        @if old != new { (lines(&old, &new)) }
        @if was != is {
            div.sides {
                div.side-of { p.note { "Outputs before" } @for one in &was { (render::output(one)) } @if was.is_empty() { p.note { "none" } } }
                div.side-of { p.note { "Outputs after" } @for one in &is { (render::output(one)) } @if is.is_empty() { p.note { "none" } } }
            }
        }
    }
}

/// A text's lines with their signs; long stretches that are the same are folded.
fn lines(old: &str, new: &str) -> Markup {
    let all = diff::lines(old, new);
    let is_near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        all[from..(at + CONTEXT + 1).min(all.len())].iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let mut rows: Vec<Markup> = Vec::new();
    let mut folded = 0;
    let flush = |rows: &mut Vec<Markup>, folded: &mut usize| {
        if *folded > 0 {
            rows.push(html! { span.fold { "  " (*folded) " equal lines\n" } });
            *folded = 0;
        }
    };
    for (at, line) in all.iter().enumerate() {
        match line {
            Line::Same(_) if !is_near(at) => folded += 1,
            Line::Same(text) => {
                flush(&mut rows, &mut folded);
                rows.push(html! { span { "  " (text) "\n" } });
            }
            Line::Old(text) => {
                flush(&mut rows, &mut folded);
                rows.push(html! { del { "- " (text) "\n" } });
            }
            Line::New(text) => {
                flush(&mut rows, &mut folded);
                rows.push(html! { ins { "+ " (text) "\n" } });
            }
        }
    }
    flush(&mut rows, &mut folded);
    html! { pre.code-block.diff { @for row in &rows { (row) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_by_cell_and_escaped() {
        let notebook = |cells: &[(&str, &str)]| {
            let mut notebook = Notebook::new();
            notebook.cells = cells.iter().map(|(id, text)| Cell::code((*id).to_owned(), text)).collect();
            notebook
        };
        let lines: Vec<String> = (0..40).map(|number| format!("line {number}\n")).collect();
        let long = lines.concat();
        let old = notebook(&[("a", "x = 1\n<b>"), ("b", &format!("{long}old"))]);
        let new = notebook(&[("a", "x = 2\n<b>"), ("b", &format!("{long}new")), ("c", "<script>")]);
        let page = changes(&old, &new).into_string();
        for part in [
            "<del>- x = 1\n</del>",
            "<ins>+ x = 2\n</ins>",
            "&lt;b&gt;",
            "37 equal lines",
            "Cell 3 <span class=\"chip good\">added</span>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script>") && !page.contains("line 3\n"));
        assert!(changes(&old, &old).into_string().contains("Nothing changed"));
    }
}
