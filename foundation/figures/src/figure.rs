//! The figure itself.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::layout::Layout;
use crate::trace::Trace;

/// Traces and their layout: Plotly's figure, whose JSON is the serde form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The traces, in drawing order.
    #[serde(default)]
    pub data: Vec<Trace>,
    /// Everything around them.
    #[serde(default)]
    pub layout: Layout,
    /// Other members (`frames`, `config`), kept as they were read and written back.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Figure {
    /// A figure without traces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trace.
    pub fn trace(mut self, trace: impl Into<Trace>) -> Self {
        self.data.push(trace.into());
        self
    }

    /// Adds traces.
    pub fn traces<T: Into<Trace>>(mut self, traces: impl IntoIterator<Item = T>) -> Self {
        self.data.extend(traces.into_iter().map(Into::into));
        self
    }

    /// Sets the layout.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }
}
