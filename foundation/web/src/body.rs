//! A request body that may not stall: between two pieces there is a longest pause.
//!
//! It also notes when it has been read to its end, so that a request that ran out of time can be told apart: a client
//! too slow to send (408), or a server too slow to answer (503).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Set once the whole body has been read.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<AtomicBool>);

impl Received {
    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) struct GuardedBody<B> {
    inner: B,
    pause: Duration,
    deadline: Pin<Box<Sleep>>,
    received: Received,
}

impl<B: Body> GuardedBody<B> {
    pub(crate) fn new(inner: B, pause: Duration, received: Received) -> Self {
        if inner.is_end_stream() {
            received.set();
        }
        Self { inner, pause, deadline: Box::pin(tokio::time::sleep(pause)), received }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.deadline.as_mut().reset(Instant::now() + this.pause);
                if frame.is_none() || this.inner.is_end_stream() {
                    this.received.set();
                }
                Poll::Ready(frame.map(|piece| piece.map_err(Into::into)))
            }
            Poll::Pending if this.deadline.as_mut().poll(cx).is_ready() => {
                let stalled = std::io::Error::new(std::io::ErrorKind::TimedOut, "the request body stalled");
                Poll::Ready(Some(Err(stalled.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
