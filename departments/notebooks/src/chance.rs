//! Chance: ids of cells and runs, keys of kernels.

use backlot_notebooks_model::cell_id;
use ring::rand::{SecureRandom, SystemRandom};

/// This many random bytes from the system, in hexadecimal.
pub(crate) fn hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // The system's source fails only before its first seed at boot; then the fast one is as good as anything.
    if SystemRandom::new().fill(&mut random).is_err() {
        fastrand::fill(&mut random);
    }
    to_hex(&random)
}

/// Bytes in hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A cell id.
pub(crate) fn new_cell_id() -> String {
    cell_id(fastrand::u32(..))
}

/// A random UUID, version 4.
pub(crate) fn uuid() -> String {
    let mut digits: Vec<char> = hex(16).chars().collect();
    digits[12] = '4';
    digits[16] = ['8', '9', 'a', 'b'][fastrand::usize(..4)];
    for at in [8, 13, 18, 23] {
        digits.insert(at, '-');
    }
    digits.into_iter().collect()
}
