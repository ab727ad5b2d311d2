//! gzip around a payload.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::PayloadError;

/// Compresses a body. The fastest level: strings stand once in a payload, so that more effort gains little.
pub fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    // Writing to memory does not fail; were it to, the body would be seen to be damaged.
    let _written = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Decompresses a body to no more than `limit` bytes.
///
/// # Errors
/// [`PayloadError::Gzip`], [`PayloadError::TooLarge`].
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, PayloadError> {
    let mut out = Vec::new();
    let mut decoder = MultiGzDecoder::new(body).take(limit as u64 + 1);
    decoder.read_to_end(&mut out).map_err(|error| PayloadError::Gzip(error.to_string()))?;
    if out.len() > limit { Err(PayloadError::TooLarge(limit)) } else { Ok(out) }
}
