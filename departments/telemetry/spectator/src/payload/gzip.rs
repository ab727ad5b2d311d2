//! gzip around a payload.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Compresses a body. The fastest level: strings stand once in a payload, so that more effort gains little.
pub fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    // Writing to memory does not fail; were it to, the body would be seen to be damaged.
    let _written = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
