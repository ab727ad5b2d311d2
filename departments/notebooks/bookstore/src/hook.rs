//! The bookstore as what follows a save of a Jupyter server.

use backlot_notebooks_model::{SaveError, SaveHook};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::key;
use crate::service::Bookstore;

/// Keeps every notebook that a server of notebooks saves below the bookstore's workspace. Other files are not versions, as with
/// stock bookstore: data beside notebooks may be of any size.
pub struct Hook {
    bookstore: Bookstore,
    runtime: Handle,
}

impl Hook {
    /// The hook; its work is done on this runtime.
    pub fn new(bookstore: &Bookstore, runtime: Handle) -> Hook {
        Hook { bookstore: bookstore.clone(), runtime }
    }
}

impl SaveHook for Hook {
    fn saved(&self, path: &str, content: &[u8], who: &str) -> Result<(), SaveError> {
        if !key::is_notebook(path) {
            return Ok(());
        }
        let failed = |why: String| SaveError { path: path.to_owned(), why };
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let bookstore = self.bookstore.clone();
        let (path, content, who) = (path.to_owned(), Bytes::copy_from_slice(content), who.to_owned());
        self.runtime.spawn(async move {
            let kept = bookstore.saved(&path, content, &who).await;
            let _ = sender.send(kept.map_err(|error| error.to_string()));
        });
        match receiver.recv() {
            Ok(kept) => kept.map(drop).map_err(failed),
            Err(_) => Err(failed("the house is stopping; save again when it runs".to_owned())),
        }
    }
}
