//! Notebooks that are none, or are hostile: each is refused by name or mended, none ends anything but its own run.

use backlot_notebooks::{KernelSearch, Kernels, Log, Request, RunError, Source, Work, run};
use backlot_notebooks_model::Notebook;

/// Prepares a notebook of these bytes, which needs no kernel.
async fn prepare(bytes: &[u8]) -> Result<Notebook, RunError> {
    let mut request = Request::new("in.ipynb", None);
    request.source = Some(Source(bytes.to_vec()));
    request.work = Work::Prepare;
    let kernels = Kernels { search: &KernelSearch::with(&|_| None), pool: None };
    run(&request, &kernels, &Log::silent()).await.map(|done| done.notebook).map_err(|failure| failure.error)
}

#[tokio::test]
async fn what_is_no_notebook_of_nbformat_4_is_refused_by_name() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&[u8], &str); 8] = [
        (
            br#"{"nbformat": 3, "nbformat_minor": 0, "worksheets": [], "metadata": {}}"#,
            "the notebook has nbformat 3; only 4 is read: convert it with",
        ),
        (
            br#"{"nbformat": 5, "nbformat_minor": 0, "cells": [], "metadata": {}}"#,
            "the notebook has nbformat 5",
        ),
        (b"\xff\xfe", "the notebook is not UTF-8"),
        (b"", "the notebook is not JSON"),
        (b"{\"cells\": [", "the notebook is not JSON"),
        (deep.as_bytes(), "the notebook is not JSON"),
        (
            br#"{"nbformat": 4, "nbformat_minor": 5, "cells": [{"cell_type": "code"}], "metadata": {}}"#,
            "cell 0 has no metadata",
        ),
        (br#"{"nbformat": 4, "nbformat_minor": 5, "cells": {}, "metadata": {}}"#, "the notebook is invalid"),
    ];
    for (bytes, told) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let error = prepare(bytes).await.expect_err(&shown).to_string();
        assert!(error.starts_with("in.ipynb: ") && error.contains(told), "{shown}: {error}");
    }
}

#[tokio::test]
async fn odd_numbers_stay_and_doubled_ids_are_mended() {
    let text = r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"nan": NaN, "huge": 1e999, "long": 123456789012345678901234567890, "down": -Infinity},
        "cells": [{"id": "a", "cell_type": "markdown", "metadata": {}, "source": "1"},
                  {"id": "a", "cell_type": "movie", "metadata": {}, "source": "2"},
                  {"cell_type": "code", "metadata": {}, "source": "3"}]}"#;
    let notebook = prepare(text.as_bytes()).await.unwrap();
    let ids: std::collections::HashSet<_> =
        notebook.cells.iter().filter_map(backlot_notebooks_model::Cell::id).collect();
    assert_eq!(ids.len(), 3);
    let written = notebook.to_text();
    for part in [
        "\"nan\": NaN",
        "\"long\": 123456789012345678901234567890",
        "\"down\": -Infinity",
        "\"huge\": Infinity",
    ] {
        assert!(written.contains(part), "{part}: {written}");
    }
}

#[tokio::test]
async fn a_large_notebook_is_read_and_written() {
    let long = "x".repeat(20 << 20);
    let text = format!(
        r#"{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [{{"id": "a", "cell_type": "code", "metadata": {{}}, "source": "", "execution_count": null,
            "outputs": [{{"output_type": "stream", "name": "stdout", "text": "{long}"}}]}}]}}"#
    );
    let notebook = prepare(text.as_bytes()).await.unwrap();
    assert!(notebook.to_text().len() > 20 << 20);
}
