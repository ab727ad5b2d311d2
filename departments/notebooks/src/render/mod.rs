//! A notebook as a page of the console.
//!
//! Whatever a notebook holds is hostile until shown otherwise. Texts are escaped. Markdown is shown by its block structure, with no
//! markup of its own passed through. Pictures become `data:` images, in which nothing runs. HTML goes into a frame without any
//! permission (`sandbox=""`): no script, no form, no access to the page around it, and the page's own policy holds inside. Only a plain
//! table is read and written anew, so that it looks like the console's own.

mod table;

use backlot_notebooks_model::json::Value;
use backlot_notebooks_model::record::{self, Status as CellStatus};
use backlot_notebooks_model::{Cell, CellKind, Notebook, markers};
use backlot_web::console::widgets;
use base64::Engine;
use maud::{Markup, html};

/// The longest text of one output that is shown; the whole is in the file.
const MAX_TEXT: usize = 64 << 10;

/// The most cells on a page.
const MAX_CELLS: usize = 500;

/// The longest picture, as text.
const MAX_PICTURE: usize = 4 << 20;

/// The cells of a notebook with their outputs.
pub(crate) fn notebook(notebook: &Notebook) -> Markup {
    html! {
        @for (index, one) in notebook.cells.iter().take(MAX_CELLS).enumerate() {
            (cell(index, one))
        }
        @if notebook.cells.len() > MAX_CELLS {
            p.note { "The first " (MAX_CELLS) " of " (notebook.cells.len()) " cells; the file has them all." }
        }
    }
}

fn cell(index: usize, cell: &Cell) -> Markup {
    let is_hidden = cell.metadata().get("jupyter").and_then(|jupyter| jupyter.get("source_hidden"))
        == Some(&Value::Bool(true));
    match cell.kind() {
        CellKind::Markdown if cell.has_tag(markers::TAG) => {
            // The markers that we write are markup; they are shown as what they say.
            let text = without_tags(cell.source());
            html! { p.alert role="alert" { (text) } }
        }
        CellKind::Markdown => html! { section { (markdown(cell.source())) } },
        CellKind::Raw | CellKind::Unknown => {
            html! { section { (widgets::code_block(&clipped(cell.source()))) } }
        }
        CellKind::Code => {
            let count = cell.execution_count().map_or_else(String::new, |count| count.to_string());
            let failed = record::status(cell) == Some(CellStatus::Failed);
            let has_code = !is_hidden && !cell.source().trim().is_empty();
            let outputs: Vec<Markup> =
                cell.outputs().iter().map(output).filter(|shown| !shown.0.is_empty()).collect();
            if !has_code && outputs.is_empty() {
                return html! {};
            }
            html! {
                section id={ "cell-" (index + 1) } {
                    @if has_code {
                        p.note { "In [" (count) "]" @if failed { " failed" } }
                        (widgets::code_block(&clipped(cell.source())))
                    }
                    @for one in &outputs { (one) }
                }
            }
        }
    }
}

/// One output.
pub(crate) fn output(output: &Value) -> Markup {
    let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("output_type") {
        "stream" => widgets::code_block(&clipped(&markers::without_color(text("text")))),
        "error" => {
            let lines = output.get("traceback").and_then(Value::as_array).unwrap_or_default();
            let traceback: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
            html! {
                p.alert role="alert" { (text("ename")) ": " (text("evalue")) }
                (widgets::code_block(&clipped(&markers::without_color(&traceback.join("\n")))))
            }
        }
        _ => bundle(output),
    }
}

/// The richest form of a bundle that can be shown safely. One that holds only a scrap shows nothing.
fn bundle(output: &Value) -> Markup {
    let data =
        |media_type: &str| output.get("data").and_then(|data| data.get(media_type)).and_then(Value::as_str);
    for media_type in ["image/png", "image/jpeg", "image/gif", "image/webp"] {
        if let Some(picture) = data(media_type) {
            let clean: String = picture.chars().filter(|char| !char.is_whitespace()).collect();
            if clean.len() <= MAX_PICTURE && base64::engine::general_purpose::STANDARD.decode(&clean).is_ok()
            {
                return image(media_type, &clean, data("text/plain"));
            }
        }
    }
    if let Some(svg) = data("image/svg+xml").filter(|svg| svg.len() <= MAX_PICTURE) {
        let encoded = base64::engine::general_purpose::STANDARD.encode(svg);
        return image("image/svg+xml", &encoded, None);
    }
    if let Some(html_text) = data("text/html").filter(|text| text.len() <= MAX_TEXT) {
        if let Some(table) = table::render(html_text) {
            return table;
        }
        return html! { iframe.notebook-output sandbox="" srcdoc=(html_text) title="HTML output" width="100%" height=(height(html_text)) frameborder="0" loading="lazy" {} };
    }
    if let Some(text) = data("text/markdown") {
        return markdown(text);
    }
    match data("text/plain") {
        Some(text) => widgets::code_block(&clipped(text)),
        None => html! {},
    }
}

/// A height for a frame, in pixels: nothing inside may tell how high it is, so rows and lines are counted.
fn height(html_text: &str) -> usize {
    let rows = html_text.matches("<tr").count().max(html_text.lines().count());
    (40 + 26 * rows).clamp(80, 480)
}

fn image(media_type: &str, encoded: &str, alt: Option<&str>) -> Markup {
    html! { figure.media { img src={ "data:" (media_type) ";base64," (encoded) } alt=(alt.unwrap_or("Output of the cell")); } }
}

fn clipped(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n… {} more bytes are in the file", &text[..end], text.len() - end)
}

fn without_tags(text: &str) -> String {
    let mut plain = String::new();
    let mut is_inside = false;
    for char in text.chars() {
        match char {
            '<' => is_inside = true,
            '>' => is_inside = false,
            char if !is_inside => plain.push(char),
            _ => {}
        }
    }
    plain
}

/// Headings, lists, code and paragraphs; what stands in a line is shown as it is written.
fn markdown(source: &str) -> Markup {
    let mut blocks: Vec<Markup> = Vec::new();
    let mut paragraph: Vec<&str> = Vec::new();
    let mut items: Vec<&str> = Vec::new();
    let mut code: Option<Vec<&str>> = None;
    let source = clipped(source);
    let flush = |blocks: &mut Vec<Markup>, paragraph: &mut Vec<&str>, items: &mut Vec<&str>| {
        if !paragraph.is_empty() {
            blocks.push(html! { p { (paragraph.join(" ")) } });
            paragraph.clear();
        }
        if !items.is_empty() {
            blocks.push(html! { ul { @for item in items.iter() { li { (item) } } } });
            items.clear();
        }
    };
    for line in source.lines() {
        if line.trim_start().starts_with("```") {
            match code.take() {
                Some(lines) => blocks.push(widgets::code_block(&lines.join("\n"))),
                None => {
                    flush(&mut blocks, &mut paragraph, &mut items);
                    code = Some(Vec::new());
                }
            }
        } else if let Some(lines) = &mut code {
            lines.push(line);
        } else if let Some(heading) = line.strip_prefix('#') {
            flush(&mut blocks, &mut paragraph, &mut items);
            let level = 1 + heading.chars().take_while(|char| *char == '#').count();
            let words = heading.trim_start_matches('#').trim();
            blocks.push(if level <= 2 {
                html! { h2 { (words) } }
            } else {
                html! { h3 { (words) } }
            });
        } else if let Some(item) = line.strip_prefix("- ").or(line.strip_prefix("* ")) {
            items.push(item);
        } else if line.trim().is_empty() {
            flush(&mut blocks, &mut paragraph, &mut items);
        } else {
            paragraph.push(line);
        }
    }
    flush(&mut blocks, &mut paragraph, &mut items);
    if let Some(lines) = code {
        blocks.push(widgets::code_block(&lines.join("\n")));
    }
    html! { @for block in &blocks { (block) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backlot_notebooks_model::json;

    fn page(output: &str, markdown: &str) -> String {
        let mut one = Notebook::new();
        let mut code = Cell::code("a".to_owned(), "print('<script>alert(1)</script>')");
        code.outputs_mut().push(json::parse(output).unwrap());
        one.cells = vec![code, Cell::markdown("b".to_owned(), markdown)];
        notebook(&one).into_string()
    }

    #[test]
    fn nothing_in_a_notebook_runs_in_the_page() {
        let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>";
        let outputs = [
            format!(r#"{{"output_type":"stream","name":"stdout","text":"{evil}"}}"#),
            format!(r#"{{"output_type":"error","ename":"{evil}","evalue":"{evil}","traceback":["{evil}"]}}"#),
            format!(r#"{{"output_type":"display_data","metadata":{{}},"data":{{"text/html":"\"{evil}"}}}}"#),
            format!(
                r#"{{"output_type":"display_data","metadata":{{}},"data":{{"image/svg+xml":"<svg onload='x'>{evil}</svg>"}}}}"#
            ),
            format!(
                r#"{{"output_type":"display_data","metadata":{{}},"data":{{"image/png":"\" onerror=\"alert(1)","text/plain":"{evil}"}}}}"#
            ),
            format!(
                r##"{{"output_type":"display_data","metadata":{{}},"data":{{"text/markdown":"# {evil}\n- {evil}\n\n{evil}"}}}}"##
            ),
        ];
        for output in &outputs {
            let shown =
                page(output, &format!("# {evil}\n[x](javascript:alert(1))\n{evil}\n```\n{evil}\n```"));
            assert!(
                !shown.contains("<script") && !shown.contains("<img src=x") && !shown.contains("<svg"),
                "{shown}"
            );
            assert!(!shown.contains("href="), "{shown}");
        }
        assert!(
            page(&outputs[2], "")
                .contains("<iframe class=\"notebook-output\" sandbox=\"\" srcdoc=\"&quot;&lt;script&gt;")
        );
    }

    #[test]
    fn long_texts_are_clipped_at_a_character() {
        let text = "é".repeat(MAX_TEXT);
        assert!(clipped(&text).ends_with("more bytes are in the file"));
    }
}
