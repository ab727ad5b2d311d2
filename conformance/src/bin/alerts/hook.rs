//! A webhook that keeps what it is sent, in a form in which two servers can be compared.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::AnyError;

/// What was sent to a path: in order.
type Told = BTreeMap<String, Vec<Value>>;

#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) url: String,
    told: Arc<Mutex<Told>>,
}

impl Hook {
    pub(crate) async fn start() -> Result<Self, AnyError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let told = Arc::<Mutex<Told>>::default();
        let kept = told.clone();
        let keep = move |Path(path): Path<String>, axum::Json(body): axum::Json<Value>| async move {
            kept.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default().push(body);
        };
        let routes = Router::new().route("/{path}", post(keep));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, told })
    }

    /// All bodies so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }

    /// What each path was told of each group, one after the other, without what depends on the clock and the server.
    pub(crate) fn story(&self) -> BTreeMap<String, Vec<Value>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut story: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (path, bodies) in told.iter() {
            for body in bodies {
                let group = format!("{path} {}", body["groupKey"].as_str().unwrap_or_default());
                story.entry(group).or_default().push(normalised(body));
            }
        }
        story
    }

    /// Waits until this many bodies have come.
    pub(crate) async fn wait(&self, count: usize, longest: Duration) -> Result<(), AnyError> {
        let deadline = Instant::now() + longest;
        while self.bodies().len() < count {
            if Instant::now() > deadline {
                return Err(format!("{} notifications came, not {count}", self.bodies().len()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// A body without what two servers may differ in: addresses, and times but for whether there are any.
fn normalised(body: &Value) -> Value {
    let mut body = body.clone();
    body["externalURL"] = json!("URL");
    for alert in body["alerts"].as_array_mut().into_iter().flatten() {
        let ended = alert["endsAt"] != "0001-01-01T00:00:00Z";
        alert["endsAt"] = json!(ended);
        if !alert["startsAt"].as_str().is_some_and(|time| time.starts_with("2020-")) {
            alert["startsAt"] = json!("now");
        }
    }
    body
}
