//! What a kernel publishes, bound to the notebook: the rules by which messages become outputs.
//!
//! The rules are nbclient's. Each output message is one output, in order. `clear_output` empties a cell, at once or before its
//! next output; an update of a display id changes every output that was displayed under it, in whichever cell. The state of
//! widgets is kept and stands in the notebook's metadata at the end.

use std::collections::{BTreeMap, HashMap};

use crate::json::{Object, Value};
use crate::notebook::Notebook;

/// A message of a kernel's iopub channel, as far as outputs need it.
#[derive(Clone, Debug)]
pub struct Published<'a> {
    /// Its type.
    pub kind: &'a str,
    /// Its content.
    pub content: &'a Value,
    /// When the kernel sent it, as its header says.
    pub date: &'a str,
    /// Binary parts behind it, in base64.
    pub buffers: &'a [String],
}

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that shows.
    None,
    /// The cell, or another, changed.
    Changed,
    /// The cell has a new output, its last.
    NewOutput,
    /// The kernel has finished the cell.
    Idle,
}

/// Binds messages to cells. One for each run of a notebook.
#[derive(Debug, Default)]
pub struct Binder {
    /// Display id → cell → positions of its outputs.
    displays: HashMap<String, BTreeMap<usize, Vec<usize>>>,
    clear_before_next: bool,
    widgets: indexmap::IndexMap<String, Object>,
    /// Widget → path of a buffer in its state → the buffer.
    buffers: HashMap<String, indexmap::IndexMap<String, Value>>,
    /// Cells other than the current one that changed, for whoever saves.
    touched: Vec<usize>,
}

impl Binder {
    /// A binder that has seen nothing.
    pub fn new() -> Binder {
        Binder::default()
    }

    /// A cell begins to run.
    pub fn cell_begins(&mut self, notebook: &mut Notebook, cell: usize) {
        let cell = &mut notebook.cells[cell];
        cell.outputs_mut().clear();
        cell.metadata_mut().insert("execution".to_owned(), Value::Object(Object::new()));
        self.clear_before_next = false;
    }

    /// The cells that changed besides the one whose messages were applied, since this was last asked.
    pub fn take_touched(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.touched)
    }

    /// Records when the kernel replied to the request of a cell.
    pub fn replied(notebook: &mut Notebook, cell: usize, date: &str) {
        stamp(notebook, cell, "shell.execute_reply", date);
    }

    /// Applies a message that the current cell's request caused.
    pub fn apply(&mut self, notebook: &mut Notebook, cell: usize, message: &Published<'_>) -> Effect {
        let content = message.content;
        let display = content.get("transient").and_then(|transient| transient.get("display_id"));
        let display = display.and_then(Value::as_str).filter(|id| !id.is_empty());
        let mut effect = Effect::None;
        if let Some(id) = display
            && matches!(message.kind, "execute_result" | "display_data" | "update_display_data")
        {
            effect = self.update(notebook, cell, id, content);
        }
        if let Some(count) = content.get("execution_count") {
            notebook.cells[cell].set_execution_count(count.clone());
            effect = Effect::Changed;
        }
        match message.kind {
            "status" => {
                let state = content.get("execution_state").and_then(Value::as_str);
                match state {
                    Some("idle") => {
                        stamp(notebook, cell, "iopub.status.idle", message.date);
                        Effect::Idle
                    }
                    Some("busy") => {
                        stamp(notebook, cell, "iopub.status.busy", message.date);
                        Effect::Changed
                    }
                    _ => effect,
                }
            }
            "execute_input" => {
                stamp(notebook, cell, "iopub.execute_input", message.date);
                Effect::Changed
            }
            "clear_output" => {
                if content.get("wait").is_some_and(|wait| !wait.is_falsy()) {
                    self.clear_before_next = true;
                    effect
                } else {
                    self.clear(notebook, cell);
                    Effect::Changed
                }
            }
            kind if kind.starts_with("comm") => {
                self.widget(message);
                effect
            }
            "update_display_data" => effect,
            kind => match output(kind, content) {
                Some(output) => {
                    if std::mem::take(&mut self.clear_before_next) {
                        self.clear(notebook, cell);
                    }
                    let outputs = notebook.cells[cell].outputs_mut();
                    if let Some(id) = display {
                        let cells = self.displays.entry(id.to_owned()).or_default();
                        cells.entry(cell).or_default().push(outputs.len());
                    }
                    outputs.push(output);
                    Effect::NewOutput
                }
                None => effect,
            },
        }
    }

    fn clear(&mut self, notebook: &mut Notebook, cell: usize) {
        notebook.cells[cell].outputs_mut().clear();
        for cells in self.displays.values_mut() {
            cells.remove(&cell);
        }
    }

    fn update(&mut self, notebook: &mut Notebook, current: usize, id: &str, content: &Value) -> Effect {
        let Some(cells) = self.displays.get(id) else { return Effect::None };
        for (cell, positions) in cells {
            let outputs = notebook.cells[*cell].outputs_mut();
            for position in positions {
                let Some(output) = outputs.get_mut(*position).and_then(Value::as_object_mut) else {
                    continue;
                };
                for part in ["data", "metadata"] {
                    let value = content.get(part).cloned();
                    output.insert(part.to_owned(), value.unwrap_or_else(|| Value::Object(Object::new())));
                }
            }
            if *cell != current {
                self.touched.push(*cell);
            }
        }
        Effect::Changed
    }

    fn widget(&mut self, message: &Published<'_>) {
        let Some(id) = message.content.get("comm_id").and_then(Value::as_str) else { return };
        let Some(data) = message.content.get("data") else { return };
        let Some(state) = data.get("state").and_then(Value::as_object) else { return };
        let kept = self.widgets.entry(id.to_owned()).or_default();
        kept.extend(state.iter().map(|(key, value)| (key.clone(), value.clone())));
        let paths = data.get("buffer_paths").and_then(Value::as_array).unwrap_or_default();
        for (path, buffer) in paths.iter().zip(message.buffers) {
            let members =
                [("data", buffer.as_str().into()), ("encoding", "base64".into()), ("path", path.clone())];
            let value = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Object>();
            self.buffers.entry(id.to_owned()).or_default().insert(path.to_compact(), value.into());
        }
    }

    /// Puts the state of widgets into the notebook's metadata, if there were any.
    pub fn finish(&self, notebook: &mut Notebook) {
        if self.widgets.is_empty() {
            return;
        }
        let member = |state: &Object, key: &str| state.get(key).cloned().unwrap_or(Value::Null);
        let mut states = Object::new();
        for (id, state) in self.widgets.iter().filter(|(_, state)| state.contains_key("_model_name")) {
            let mut widget = Object::new();
            for part in ["model_name", "model_module", "model_module_version"] {
                widget.insert(part.to_owned(), member(state, &format!("_{part}")));
            }
            widget.insert("state".to_owned(), Value::Object(state.clone()));
            if let Some(buffers) = self.buffers.get(id) {
                widget.insert("buffers".to_owned(), Value::Array(buffers.values().cloned().collect()));
            }
            states.insert(id.clone(), Value::Object(widget));
        }
        let members = [
            ("state", Value::Object(states)),
            ("version_major", 2_i64.into()),
            ("version_minor", 0_i64.into()),
        ];
        let bundle: Object = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let widgets =
            [("application/vnd.jupyter.widget-state+json".to_owned(), bundle.into())].into_iter().collect();
        notebook.metadata.insert("widgets".to_owned(), Value::Object(widgets));
    }
}

fn stamp(notebook: &mut Notebook, cell: usize, key: &str, date: &str) {
    let date = date.strip_suffix("+00:00").map_or_else(|| date.to_owned(), |date| format!("{date}Z"));
    notebook.cells[cell].metadata_object("execution").insert(key.to_owned(), date.into());
}

/// A message as an output; `None` if it is none.
fn output(kind: &str, content: &Value) -> Option<Value> {
    let parts: &[&str] = match kind {
        "execute_result" => &["metadata", "data", "execution_count"],
        "stream" => &["name", "text"],
        "display_data" => &["metadata", "data"],
        "error" => &["ename", "evalue", "traceback"],
        _ => return None,
    };
    let mut output = Object::new();
    output.insert("output_type".to_owned(), kind.into());
    for part in parts {
        let missing =
            || if matches!(*part, "metadata" | "data") { Object::new().into() } else { Value::Null };
        output.insert((*part).to_owned(), content.get(part).cloned().unwrap_or_else(missing));
    }
    Some(Value::Object(output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::notebook::Cell;

    struct Bench(Notebook, Binder);

    impl Bench {
        fn new() -> Bench {
            let mut notebook = Notebook::new();
            notebook.cells = vec![Cell::code("a".to_owned(), "1"), Cell::code("b".to_owned(), "2")];
            Bench(notebook, Binder::new())
        }

        fn say(&mut self, cell: usize, kind: &str, content: &str) -> Effect {
            let content = json::parse(content).unwrap();
            let message = Published {
                kind,
                content: &content,
                date: "2026-01-01T00:00:00.5+00:00",
                buffers: &["QQ==".to_owned()],
            };
            self.1.apply(&mut self.0, cell, &message)
        }

        fn outputs(&self, cell: usize) -> String {
            Value::Array(self.0.cells[cell].outputs().to_vec()).to_compact()
        }
    }

    #[test]
    fn messages_become_outputs_in_order() {
        let mut bench = Bench::new();
        bench.1.cell_begins(&mut bench.0, 0);
        assert_eq!(bench.say(0, "status", r#"{"execution_state":"busy"}"#), Effect::Changed);
        bench.say(0, "execute_input", r#"{"code":"1","execution_count":7}"#);
        assert_eq!(bench.say(0, "stream", r#"{"name":"stdout","text":"a"}"#), Effect::NewOutput);
        bench.say(0, "execute_result", r#"{"execution_count":7,"metadata":{},"data":{"text/plain":"1"}}"#);
        assert_eq!(bench.say(0, "status", r#"{"execution_state":"idle"}"#), Effect::Idle);
        assert_eq!(bench.0.cells[0].execution_count(), Some(7));
        assert_eq!(
            bench.outputs(0),
            r#"[{"output_type":"stream","name":"stdout","text":"a"},{"output_type":"execute_result","metadata":{},"data":{"text/plain":"1"},"execution_count":7}]"#
        );
        let execution = bench.0.cells[0].metadata()["execution"].to_compact();
        assert!(execution.contains(r#""iopub.status.idle":"2026-01-01T00:00:00.5Z""#), "{execution}");
    }

    #[test]
    fn clearing_waits_when_told_to() {
        let mut bench = Bench::new();
        bench.say(0, "stream", r#"{"name":"stdout","text":"a"}"#);
        bench.say(0, "clear_output", r#"{"wait":true}"#);
        assert!(bench.outputs(0).contains('a'));
        bench.say(0, "stream", r#"{"name":"stdout","text":"b"}"#);
        assert_eq!(bench.outputs(0), r#"[{"output_type":"stream","name":"stdout","text":"b"}]"#);
        bench.say(0, "clear_output", r#"{"wait":false}"#);
        assert_eq!(bench.outputs(0), "[]");
    }

    #[test]
    fn a_display_is_updated_in_every_cell() {
        let mut bench = Bench::new();
        let shown = r#"{"data":{"text/plain":"old"},"metadata":{},"transient":{"display_id":"d"}}"#;
        bench.say(0, "display_data", shown);
        let update = r#"{"data":{"text/plain":"new"},"metadata":{"m":1},"transient":{"display_id":"d"}}"#;
        assert_eq!(bench.say(1, "update_display_data", update), Effect::Changed);
        assert!(bench.outputs(0).contains("new") && bench.outputs(0).contains("\"m\":1"));
        assert_eq!(bench.outputs(1), "[]");
        assert_eq!(bench.1.take_touched(), [0]);
    }

    #[test]
    fn widgets_end_in_the_metadata() {
        let mut bench = Bench::new();
        bench.say(
            0,
            "comm_open",
            r#"{"comm_id":"w","target_name":"jupyter.widget","data":{"state":{"_model_name":"M","value":1},"buffer_paths":[["value"]]}}"#,
        );
        bench.say(0, "comm_msg", r#"{"comm_id":"w","data":{"method":"update","state":{"value":2}}}"#);
        bench.1.finish(&mut bench.0);
        let widgets = bench.0.metadata["widgets"].to_compact();
        assert!(widgets.contains(r#""state":{"_model_name":"M","value":2}"#), "{widgets}");
        assert!(
            widgets.contains(r#""buffers":[{"data":"QQ==","encoding":"base64","path":["value"]}]"#),
            "{widgets}"
        );
    }
}
