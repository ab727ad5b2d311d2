//! The shared cache: what one machine has fetched, others need not fetch again.
//!
//! `GET /mezz/v1/cache/{identity}` with a `Range` answers 206 with the bytes and their BLAKE3 in `x-mezz-blake3` when the cache
//! has them all, and 404 otherwise; it never fetches anything. A reader asks its peers first and takes what comes only with
//! the right length and hash. The first reader of a region pays the transfer, the others read from it.
//!
//! Where [`TOKEN_VARIABLE`] is set, a server wants it as a bearer token and a reader sends it. Without it a server listens on
//! this machine only.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_store::Digest;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use crate::cache::Cache;
use crate::{Error, Room};

/// The variable that holds the token of the shared cache.
pub const TOKEN_VARIABLE: &str = "BACKLOT_MEZZ_PEER_TOKEN";
/// The longest range that is given at once: twice the longest block that a reader fetches.
const LONGEST_RANGE: u64 = 16 << 20;
/// How long a peer may take. One that is slower than the origin is of no use.
const PATIENCE: Duration = Duration::from_secs(5);
const HASH: &str = "x-mezz-blake3";

/// A peer that may have what is asked for.
#[derive(Clone)]
pub struct Peer {
    base: Url,
    client: reqwest::Client,
    token: Option<String>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({})", self.base)
    }
}

impl Peer {
    /// The peer at an address such as `http://cache-1:7711`.
    ///
    /// # Errors
    /// [`Error::NotALocation`] for what is no such address.
    pub fn new(text: &str, token: Option<String>) -> Result<Self, Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refuse =
            |fault: &str| Error::NotALocation { text: crate::error::shorten(text), fault: fault.to_owned() };
        let base = Url::parse(text).map_err(|_| refuse("write http://host:port"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(refuse("write http://host:port"));
        }
        let client =
            reqwest::Client::builder().http1_only().connect_timeout(PATIENCE).timeout(PATIENCE).build();
        let client = client.map_err(|error| refuse(&error.to_string()))?;
        Ok(Self { base, client, token })
    }

    /// Reads the range if the peer has it. Whatever goes wrong is a miss.
    pub(crate) async fn read(&self, identity: &Digest, range: &Range<u64>, out: &mut Room) -> bool {
        let Ok(url) = self.base.join(&format!("/mezz/v1/cache/{}", identity.to_hex())) else { return false };
        let mut request =
            self.client.get(url).header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let Ok(mut answer) = request.send().await else { return false };
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return false;
        }
        let Some(hash) = answer.headers().get(HASH).and_then(|hash| hash.to_str().ok()).map(str::to_owned)
        else {
            return false;
        };
        let (begin, wanted) = (out.filled().len(), (range.end - range.start) as usize);
        while let Ok(Some(chunk)) = answer.chunk().await {
            if out.filled().len() - begin + chunk.len() > wanted {
                return false;
            }
            out.push(&chunk);
        }
        let came = &out.filled()[begin..];
        came.len() == wanted && blake3::hash(came).to_hex().as_str() == hash
    }
}

/// A cache that is served. Ends when it is dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    cache: Arc<Cache>,
    token: Option<String>,
}

/// Serves a cache to peers. Port 0 lets the system choose.
///
/// # Errors
/// An address beyond this machine without a token; one that cannot be bound.
pub async fn serve(cache: Arc<Cache>, address: SocketAddr, token: Option<String>) -> Result<Served, Error> {
    let fail = |fault: String| Error::NotALocation { text: address.to_string(), fault };
    if !address.ip().is_loopback() && token.is_none() {
        return Err(fail(format!(
            "the cache is not served beyond this machine without a token; set {TOKEN_VARIABLE}"
        )));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| fail(error.to_string()))?;
    let address = listener.local_addr().map_err(|error| fail(error.to_string()))?;
    let routes = Router::new()
        .route("/mezz/v1/cache/{identity}", get(give))
        .with_state(Arc::new(Server { cache, token }));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the shared cache is no longer served");
        }
    });
    Ok(Served { address, task })
}

async fn give(
    State(server): State<Arc<Server>>,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(token) = &server.token {
        let wanted = blake3::hash(format!("Bearer {token}").as_bytes());
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        // Hashes compare in constant time.
        if blake3::hash(given) != wanted {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(parse_range);
    let (Some(identity), Some(range)) = (super::identity(&identity), range) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let cache = Arc::clone(&server.cache);
    let asked = range.clone();
    match tokio::task::spawn_blocking(move || cache.share(&identity, asked)).await {
        Ok(Some(bytes)) => {
            let hash = blake3::hash(&bytes).to_hex();
            let content_range = format!("bytes {}-{}/*", range.start, range.end - 1);
            let headers = [(header::CONTENT_RANGE.as_str(), content_range.as_str()), (HASH, hash.as_str())];
            (StatusCode::PARTIAL_CONTENT, headers, bytes).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let end = last.checked_add(1)?;
    (first < end && end - first <= LONGEST_RANGE).then_some(first..end)
}
