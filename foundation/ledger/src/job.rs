//! A closure on its way through a ledger thread and its answer on the way back.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::connection::Mode;
use crate::{Error, Tx};

/// Whether a closure's changes are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep { wrote: bool },
    Undo,
}

/// A closure with its types erased.
pub(crate) trait Job: Send {
    fn mode(&self) -> Mode;

    /// Runs the closure; its answer is kept until [`Job::answer`]. Called at most once.
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict;

    /// Sends the closure's own answer, or `overruled` when the transaction it was part of came to nothing.
    fn answer(self: Box<Self>, overruled: Option<Error>);
}

struct Closure<T, E, F> {
    mode: Mode,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// A job and where its answer arrives.
pub(crate) fn new<T, E, F>(mode: Mode, closure: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Closure { mode, work: Some(closure), result: None, reply }), answer)
}

impl<T, E, F> Job for Closure<T, E, F>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn mode(&self) -> Mode {
        self.mode
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        let Some(closure) = self.work.take() else { return Verdict::Undo };
        // Whatever the closure held when it panicked is dropped, and its writes are rolled back.
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(tx)));
        let result = match outcome {
            Ok(result) => result,
            Err(panic) => Err(Error::Panicked { message: panic_message(panic.as_ref()) }.into()),
        };
        let result = match (result, tx.failure()) {
            (Ok(_), Some(failure)) => Err(failure.into()),
            (result, _) => result,
        };
        let verdict = if result.is_ok() { Verdict::Keep { wrote: tx.wrote() } } else { Verdict::Undo };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, overruled: Option<Error>) {
        let result = match (overruled, self.result) {
            (Some(error), _) => Err(error.into()),
            (None, Some(result)) => result,
            (None, None) => Err(Error::Closed.into()),
        };
        // The caller may have gone away; the transaction stands all the same.
        let _ = self.reply.send(result);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// Runs a future on this thread. Unlike tokio's it may be called anywhere, also on a runtime's thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    // Tokio's fairness budget would have the waker called when this thread returns to its runtime, which it does not.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
