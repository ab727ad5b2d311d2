//! Whether an MP4 or QuickTime file is all there.
//!
//! A file with its index in front plays although its end is missing: decoders just stop early, and a cut copy would be
//! encoded as if it were the title. The boxes at the top of the file tell their sizes, so a short file gives itself
//! away without a frame decoded (ISO/IEC 14496-12, section 4.2).

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::Path,
};

use crate::Error;

/// Top-level boxes that a file can begin with. Other files are no business of this check.
const FIRST_BOXES: &[&[u8; 4]] = &[b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"];
/// Files have a handful of top-level boxes; fragmented ones some per second.
const MAX_BOXES: usize = 1_000_000;

/// [`Error::Truncated`] when the file is of this family and lacks its end or its index; [`Error::Io`] when it cannot
/// be read; fine for files of any other kind.
pub(crate) fn check_whole(path: &Path) -> Result<(), Error> {
    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        let detail = "it is not a regular file".to_owned();
        return Err(Error::NotVideo { path: path.to_owned(), detail });
    }
    let length = metadata.len();
    if length == 0 {
        return Err(Error::Truncated { path: path.to_owned(), detail: "it is empty".to_owned() });
    }
    let mut position = 0;
    let mut has_index = false;
    for _ in 0..MAX_BOXES {
        if position == length {
            break;
        }
        file.seek(SeekFrom::Start(position)).map_err(io)?;
        let mut header = [0; 16];
        let got = read_up_to(&mut file, &mut header).map_err(io)?;
        let kind: [u8; 4] = if got >= 8 { [header[4], header[5], header[6], header[7]] } else { [0; 4] };
        if position == 0 && !FIRST_BOXES.contains(&&kind) {
            return Ok(());
        }
        let short = |detail: String| Err(Error::Truncated { path: path.to_owned(), detail });
        if got < 8 {
            return short(format!("{got} stray bytes at its end"));
        }
        has_index |= kind == *b"moov" || kind == *b"moof";
        let size = match u32::from_be_bytes([header[0], header[1], header[2], header[3]]) {
            0 => length - position,
            1 if got == 16 => u64::from_be_bytes(std::array::from_fn(|index| header[8 + index])),
            size => size.into(),
        };
        let end = position.checked_add(size).filter(|_| size >= 8);
        match end {
            Some(end) if end <= length => position = end,
            Some(end) => {
                let name = String::from_utf8_lossy(&kind).into_owned();
                return short(format!("its {name} box wants {} more bytes", end - length));
            }
            None => return short(format!("the box at byte {position} has an impossible size")),
        }
    }
    if has_index {
        Ok(())
    } else {
        Err(Error::Truncated { path: path.to_owned(), detail: "its index (moov) is missing".to_owned() })
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
