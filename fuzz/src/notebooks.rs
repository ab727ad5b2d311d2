//! What the notebooks department reads from files and command lines.

use backlot_notebooks_model::{Notebook, cell_id, diff, yaml};

pub(crate) fn notebooks(bytes: &[u8]) {
    let Ok(notebook) = Notebook::read_as_is(bytes) else { return };
    let text = notebook.to_text();
    let again = Notebook::read_as_is(text.as_bytes()).expect("what we wrote, we read");
    assert_eq!(again.to_text(), text, "a second writing differs from the first");
    // An id is asked for until one is new, so they must differ.
    let mut ids = 0_u32;
    drop(Notebook::read(bytes, &mut || {
        ids += 1;
        cell_id(ids)
    }));
    let _ = diff::diff(&notebook, &again);
}

pub(crate) fn yaml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(yaml::parse(text));
        drop(yaml::parameters(text));
    }
}
