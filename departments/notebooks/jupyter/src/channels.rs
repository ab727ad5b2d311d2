//! `/api/kernels/{id}/channels`: a client's websocket to a kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::ws::{Message as WsMessage, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, interval};

use crate::error::Error;
use crate::events::EXECUTIONS;
use crate::guard::User;
use crate::kernel::message::{Channel, Frame, Framing, Message, V1};
use crate::kernel::{Ask, Kernel};
use crate::server::{Pings, Server};
use crate::web::Query;

/// The largest message of a client: widgets send images.
const MAX_MESSAGE: usize = 256 << 20;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Opens a client's websocket.
pub(crate) async fn channels(
    State(server): State<Arc<Server>>,
    user: User,
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
    let inbox = kernel.attach(client, session, user.0.clone()).await?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        let told = |channel, message: &Message| {
            if channel == Channel::Shell {
                tell_execution(&server, &user, &kernel, message);
            }
        };
        let pings = server.config.pings;
        serve(socket, framing, client, &kernel, inbox, told, pings).await;
        let _ = kernel.ask(Ask::Detach(client)).await; // the kernel may have ended
    }))
}

/// Tells who ran which cell; the code itself is not told.
fn tell_execution(server: &Server, user: &User, kernel: &Kernel, message: &Message) {
    if message.header().msg_type != "execute_request" {
        return;
    }
    let metadata: serde_json::Value = serde_json::from_slice(&message.parts[2]).unwrap_or_default();
    let path = server.capture.path_of(&kernel.id);
    let data = serde_json::json!({
        "action": "execute", "kernel_id": kernel.id, "kernel_name": kernel.name, "path": path, "cell_id": metadata["cellId"],
    });
    server.events.emit(EXECUTIONS, &user.0, &data);
}

async fn serve(
    socket: WebSocket,
    framing: Framing,
    client: u64,
    kernel: &Kernel,
    mut inbox: Receiver<(Channel, Message)>,
    told: impl Fn(Channel, &Message),
    pings: Pings,
) {
    let (mut sink, mut stream) = socket.split();
    let mut ticks = interval(pings.every);
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
                if !matches!(tokio::time::timeout(pings.patience, sink.send(frame)).await, Ok(Ok(()))) {
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
                told(channel, &message);
                if kernel.ask(Ask::Send(client, channel, message)).await.is_err() {
                    break;
                }
            }
            _ = ticks.tick() => {
                if heard.elapsed() > pings.patience || sink.send(WsMessage::Ping(bytes::Bytes::new())).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = sink.close().await; // it may be closed
}
