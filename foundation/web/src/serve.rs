//! The listener: one task per connection, each with its bounds, and an end that does not wait for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Request;
use axum::http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::io::GuardedStream;
use crate::shell::Shared;
use crate::{ApiError, Error};

/// Pause after a failed `accept`: out of file descriptors, say. Long enough not to spin, short enough not to be felt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is answered when all connections are taken; written as it stands, since no request has been read.
const OVER_CAPACITY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: application/json\r\ncontent-length: 131\r\n\r\n\
{\"error\":{\"code\":\"over_capacity\",\"message\":\"all connections are in use\",\"mend\":\"try again in a second, or close idle connections\"}}";

/// The connection that a request came over. An extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The other end's address (the last proxy's, behind one).
    pub peer: SocketAddr,
    /// Our port.
    pub local_port: u16,
    /// Whether our listener can be reached from this machine only.
    pub loopback: bool,
}

/// Tells long answers that the server is shutting down. An extractor.
#[derive(Clone, Debug)]
pub struct Closing(watch::Receiver<bool>);

impl Closing {
    pub(crate) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Whether the server is shutting down.
    pub fn is_closing(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server shuts down.
    pub async fn wait(mut self) {
        // An error means that the shell is gone, which is as closed as it gets.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Closing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let shared = parts.extensions.get::<Arc<Shared>>();
        shared
            .map(|shared| shared.closing())
            .ok_or_else(|| ApiError::internal(&"no envelope around this handler"))
    }
}

/// Serves until `shutdown` completes, then for at most the configured bound until the requests under way are answered.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let bound = listener.local_addr().map_err(|source| Error::Listener { source })?;
    let limits = shared.config.limits;
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(address = %bound, "listening");
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(%peer, limit = limits.connections, "all connections are in use");
            refuse(&stream);
            continue;
        };
        let connection = Connection { peer, local_port: bound.port(), loopback: bound.ip().is_loopback() };
        let (shared, router) = (Arc::clone(&shared), router.clone());
        connections.spawn(async move {
            serve_connection(&shared, router, stream, connection).await;
            drop(slot);
        });
    }
    drop(listener);
    shared.close();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting off connections that outlast the shutdown");
        connections.shutdown().await;
    }
    Ok(())
}

/// Answers without reading; what does not fit the fresh socket's buffer at once is not worth waiting for.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(OVER_CAPACITY);
}

async fn serve_connection(shared: &Arc<Shared>, router: Router, stream: TcpStream, connection: Connection) {
    let limits = shared.config.limits;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client is gone already");
        return;
    }
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection);
        request.extensions_mut().insert(ConnectInfo(connection.peer));
        router.clone().oneshot(request)
    });
    let stream = TokioIo::new(GuardedStream::new(stream, limits.write_stall));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .serve_connection(stream, answer)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = shared.closing().wait() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        // Clients that vanish or dawdle; the request's own line in the log has the rest.
        tracing::debug!(peer = %connection.peer, %error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_refusal_is_well_formed() {
        let text = std::str::from_utf8(OVER_CAPACITY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
