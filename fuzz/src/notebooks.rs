//! What the notebooks department reads from files and command lines.

use backlot_notebooks_model::{Notebook, diff, yaml};

pub(crate) fn notebooks(bytes: &[u8]) {
    let Ok(notebook) = Notebook::read_as_is(bytes) else { return };
    let text = notebook.to_text();
    let again = Notebook::read_as_is(text.as_bytes()).expect("what we wrote, we read");
    assert_eq!(again.to_text(), text, "a second writing differs from the first");
    drop(Notebook::read(bytes, &mut || "00000000".to_owned()));
    let _ = diff::diff(&notebook, &again);
}

pub(crate) fn yaml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(yaml::parse(text));
        drop(yaml::parameters(text));
    }
}
