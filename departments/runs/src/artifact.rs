//! The blobs among a task's outputs: finding them, and handing them out.
//!
//! A blob is reached by its task and its place in the outputs, never by its digest alone: who may see the run may see its
//! artifacts, and nothing else of the store.

use axum::http::HeaderMap;
use axum::response::Response;
use backlot_department::{Shown, blob_response};
use backlot_store::Store;
use backlot_web::ApiError;
use backlot_work::{BlobRef, TaskStatus};
use serde_json::Value;

use crate::RUNS_DOOR;

/// Types that a browser may show in place. Whatever else it gets is saved: a page that a task wrote must not run here.
const SHOWN: [&str; 13] = [
    "application/json",
    "audio/mp4",
    "audio/mpeg",
    "audio/wav",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/svg+xml",
    "image/webp",
    "text/plain",
    "video/mp4",
    "video/webm",
];

/// A blob and its place in the outputs: `clip`, `thumbs/3`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Artifact {
    pub(crate) path: String,
    pub(crate) blob: BlobRef,
}

impl Artifact {
    /// Every blob of these outputs, in order.
    pub(crate) fn all(outputs: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        collect(outputs, "", &mut found);
        found
    }

    /// The address under which the runs door hands it out.
    pub(crate) fn url(&self, task: &TaskStatus) -> String {
        let encode = |text: &str| backlot_web::console::widgets::path_segment(text);
        let path: Vec<String> = self.path.split('/').map(encode).collect();
        format!(
            "{RUNS_DOOR}/runs/{}/steps/{}/tasks/{}/artifacts/{}",
            encode(&task.run),
            encode(&task.step),
            task.index,
            path.join("/")
        )
    }

    /// Whether a browser may show it in place.
    pub(crate) fn is_shown(&self) -> bool {
        SHOWN.contains(&essence(&self.blob.media_type))
    }

    /// The kind of media: `image`, `video`, …
    pub(crate) fn family(&self) -> &str {
        essence(&self.blob.media_type).split('/').next().unwrap_or_default()
    }
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn collect(value: &Value, path: &str, found: &mut Vec<Artifact>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    if let Some(blob) = BlobRef::from_value(value) {
        found.push(Artifact { path: path.to_owned(), blob });
        return;
    }
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(value, &below(name), found)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect(value, &below(&index.to_string()), found));
        }
        _ => {}
    }
}

/// Hands a blob out: to be shown if `show` says so and its type is harmless, else to be saved.
pub(crate) async fn respond(
    store: &Store,
    artifact: &Artifact,
    request: &HeaderMap,
    show: bool,
) -> Result<Response, ApiError> {
    let place = if show && artifact.is_shown() { Shown::InPlace } else { Shown::Saved };
    let name = artifact.path.rsplit('/').next().unwrap_or("blob");
    // Addressed by task and name, which a re-run may give another content, so it is asked for again, cheaply.
    blob_response(store, &artifact.blob, name, request, place).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn blob(media_type: &str) -> Value {
        json!({ "$blob": backlot_store::Digest::of(b"x"), "size": 1, "type": media_type })
    }

    #[test]
    fn blobs_are_found_wherever_they_are() {
        let outputs = json!({ "clip": blob("video/mp4"), "shots": [{ "thumb": blob("image/png"), "start": 3 }, 7], "n": null });
        let found = Artifact::all(&outputs);
        let paths: Vec<&str> = found.iter().map(|artifact| artifact.path.as_str()).collect();
        assert_eq!(paths, ["clip", "shots/0/thumb"]);
        assert_eq!(found[0].family(), "video");
    }

    #[test]
    fn only_harmless_types_are_shown() {
        let shown = |media_type: &str| Artifact::all(&blob(media_type))[0].is_shown();
        assert!(shown("image/png") && shown("text/plain; charset=utf-8") && shown("video/mp4"));
        assert!(
            !shown("text/html") && !shown("text/javascript") && !shown("") && !shown("application/xhtml+xml")
        );
    }
}
