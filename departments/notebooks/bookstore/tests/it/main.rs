//! The bookstore on a folder, on both ledgers, and beside a real S3 server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod bucket;
mod keeping;

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use backlot_bookstore::{Base, Bookstore, Settings, routes};
use backlot_ledger::Ledger;
use backlot_store::Store;
use serde_json::Value;
use tower::ServiceExt;

/// A bookstore in a folder of its own.
struct Shop {
    folder: tempfile::TempDir,
    bookstore: Bookstore,
    ledger: Ledger,
}

impl Shop {
    fn new(change: impl FnOnce(&mut Settings, &Path)) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        change(&mut settings, folder.path());
        let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", folder.path().display())).unwrap();
        let bookstore = open(&ledger, folder.path(), settings);
        Shop { folder, bookstore, ledger }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.bookstore.workspace().root().join(path)
    }

    fn router(&self) -> Router {
        routes(&self.bookstore, Base::default())
    }

    /// Status and body of an answer.
    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let (status, text) = self.send_form(method, path, body, "application/json").await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn send_form(&self, method: &str, path: &str, body: impl Into<Body>, kind: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
        let answer = self.router().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), 64 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

fn open(ledger: &Ledger, folder: &Path, settings: Settings) -> Bookstore {
    let store = Store::open(&format!("file://{}/store", folder.display())).unwrap();
    Bookstore::open(ledger, &store, &folder.join("notebooks"), settings).unwrap()
}

/// A notebook that says this.
fn notebook(text: &str) -> String {
    let cell = serde_json::json!({ "cell_type": "markdown", "metadata": {}, "source": text });
    serde_json::json!({ "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4 }).to_string()
}
