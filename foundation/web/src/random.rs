//! Secrets and their comparison: random bytes from the operating system, hashes compared in constant time.

use std::fs::File;
use std::io::Read;

use crate::Error;

/// 32 random bytes as 64 hexadecimal digits.
pub(crate) fn secret() -> Result<String, Error> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|source| Error::Random { source })?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

/// The hash under which a secret is kept. A secret has 256 random bits, so a fast hash without salt is enough: there
/// is no dictionary to try. `blake3::Hash` compares in constant time.
pub(crate) fn hash(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}
