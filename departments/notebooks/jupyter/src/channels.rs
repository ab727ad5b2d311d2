//! `/api/kernels/{id}/channels`: a client's websocket to a kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message as WsMessage, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use tokio::time::{Instant, interval};

use crate::error::Error;
use crate::kernel::message::{Frame, Framing, V1};
use crate::kernel::{Ask, Kernel};
use crate::server::Server;
use crate::web::Query;

/// How often a client is asked whether it is there, and how long its answer may take: as jupyter_server's defaults.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(90);

/// The largest message of a client: widgets send images.
const MAX_MESSAGE: usize = 256 << 20;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Opens a client's websocket.
pub(crate) async fn channels(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    uri: Uri,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Error> {
    let kernel = server.kernels.find(&id)?;
    let session = Query::of(&uri).get("session_id").unwrap_or_default().to_owned();
    let upgrade = upgrade.protocols([V1]).max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    let framing = match upgrade.selected_protocol() {
        Some(_) => Framing::V1,
        None => Framing::Legacy,
    };
    // Attached before the client hears that it is connected, so that nothing of what it then asks is missed.
    let client = NEXT.fetch_add(1, Ordering::Relaxed);
    let inbox = kernel.attach(client, session).await?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(socket, framing, client, &kernel, inbox).await;
        let _ = kernel.ask(Ask::Detach(client)).await; // the kernel may have ended
    }))
}

async fn serve(
    socket: WebSocket,
    framing: Framing,
    client: u64,
    kernel: &Kernel,
    mut inbox: tokio::sync::mpsc::Receiver<(
        crate::kernel::message::Channel,
        crate::kernel::message::Message,
    )>,
) {
    let (mut sink, mut stream) = socket.split();
    let mut pings = interval(PING);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = inbox.recv() => {
                let Some((channel, message)) = message else { break }; // the kernel has ended, or the client came back elsewhere
                let frame = match framing.encode(channel, &message) {
                    Frame::Text(text) => WsMessage::Text(text.into()),
                    Frame::Binary(bytes) => WsMessage::Binary(bytes),
                };
                // A client that takes nothing for this long is gone.
                if !matches!(tokio::time::timeout(PONG, sink.send(frame)).await, Ok(Ok(()))) {
                    break;
                }
            }
            received = stream.next() => {
                heard = Instant::now();
                let frame = match received {
                    Some(Ok(WsMessage::Text(text))) => Frame::Text(text.as_str().to_owned()),
                    Some(Ok(WsMessage::Binary(bytes))) => Frame::Binary(bytes),
                    Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => continue,
                    Some(Ok(WsMessage::Close(_)) | Err(_)) | None => break,
                };
                let Some((channel, message)) = framing.decode(&frame) else {
                    tracing::warn!(kernel = kernel.id, "a malformed message of a client is dropped");
                    continue;
                };
                if kernel.ask(Ask::Send(client, channel, message)).await.is_err() {
                    break;
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() > PONG || sink.send(WsMessage::Ping(bytes::Bytes::new())).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = sink.close().await; // it may be closed
}
