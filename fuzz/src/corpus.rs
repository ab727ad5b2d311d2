//! Inputs that are kept: one line of base64 for each, in `corpus/TARGET.txt`, shortest first. One file a target reads well in a
//! change, where thousands of small binary files do not.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Most inputs that are kept of a target: the tests stay below a second.
pub const MOST_INPUTS: usize = 1000;
/// Longest input that is kept: what needs more to be reached is rare, and would bloat the repository.
pub const LONGEST_INPUT: usize = 2048;

/// Where a target's inputs are kept in the source tree.
pub fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.txt"))
}

/// The inputs in a file's text.
///
/// # Errors
/// A line that is not base64.
pub fn read(text: &str) -> io::Result<Vec<Vec<u8>>> {
    let decode = |line: &str| BASE64.decode(line).map_err(io::Error::other);
    text.lines().filter(|line| !line.starts_with('#')).map(decode).collect()
}

/// The text of a file with these inputs; what is too long or too many is left out.
pub fn write(inputs: BTreeSet<Vec<u8>>) -> String {
    let mut inputs: Vec<_> = inputs.into_iter().filter(|input| input.len() <= LONGEST_INPUT).collect();
    inputs.sort_by_key(Vec::len);
    inputs.truncate(MOST_INPUTS);
    inputs.iter().map(|input| BASE64.encode(input) + "\n").collect()
}

/// Writes each input to a file of its own in a folder, as libFuzzer wants them.
///
/// # Errors
/// A file that cannot be written.
pub fn unpack(inputs: &[Vec<u8>], folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (at, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("kept-{at:04}")), input)?;
    }
    Ok(())
}

/// Every file of a folder.
///
/// # Errors
/// A file that cannot be read.
pub fn pack(folder: &Path) -> io::Result<BTreeSet<Vec<u8>>> {
    std::fs::read_dir(folder)?.map(|entry| std::fs::read(entry?.path())).collect()
}
