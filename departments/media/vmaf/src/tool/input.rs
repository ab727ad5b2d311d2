//! Streams of frames from files: YUV4MPEG2, and raw planes whose layout is given.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use backlot_frames::{BitDepth, Format, Frame, Header, Interlacing, Rate, Reader, Writer};

use crate::Error;

/// Bytes read at once; what fits a core's own cache, since rows are copied from there.
const BUFFER: usize = 1 << 18;

/// Raw planes, framed as YUV4MPEG2 while they are read, so that one reader serves both.
struct Framed<R> {
    stream: R,
    header: io::Cursor<Vec<u8>>,
    frame_bytes: usize,
    /// Bytes of the current frame still to come; none between frames.
    left: usize,
    /// What is left of the current frame line.
    line: &'static [u8],
}

const FRAME_LINE: &[u8] = b"FRAME\n";

impl<R: Read> Read for Framed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let of_header = self.header.read(buffer)?;
        if of_header > 0 || buffer.is_empty() {
            return Ok(of_header);
        }
        if self.line.is_empty() && self.left == 0 {
            // A frame begins with its first byte; at the end of the stream there is none.
            self.left = self.frame_bytes;
            let mut first = [0];
            loop {
                match self.stream.read(&mut first) {
                    Ok(0) => return Ok(0),
                    Ok(_) => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.header = io::Cursor::new([FRAME_LINE, &first].concat());
            self.left -= 1;
            return self.header.read(buffer);
        }
        let wanted = buffer.len().min(self.left);
        let got = self.stream.read(&mut buffer[..wanted])?;
        self.left -= got;
        Ok(got)
    }
}

/// A stream of frames.
pub(super) struct Input {
    reader: Reader<Box<dyn Read>>,
    path: String,
}

impl Input {
    /// Opens `path`: raw planes where a layout is given, else YUV4MPEG2.
    pub(super) fn open(path: &Path, raw: Option<Format>) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::File {
            what: "could not open file",
            path: shown.clone(),
            source,
        })?;
        let stream = BufReader::with_capacity(BUFFER, file);
        let stream: Box<dyn Read> = match raw {
            None => Box::new(stream),
            Some(format) => {
                let mut header = Vec::new();
                Writer::new(&mut header, Header::new(format, Rate::new(25, 1)?))?;
                let header = io::Cursor::new(header);
                Box::new(Framed { stream, header, frame_bytes: format.frame_bytes(), left: 0, line: b"" })
            }
        };
        let reader = Reader::new(stream)?;
        match reader.header().interlacing {
            Interlacing::Unknown | Interlacing::Progressive => Ok(Self { reader, path: shown }),
            _ => Err(Error::Interlaced { path: shown }),
        }
    }

    pub(super) fn format(&self) -> Format {
        self.reader.header().format
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Reads the next frame; `false` at the end.
    pub(super) fn read(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        Ok(self.reader.read_frame_into(frame)?)
    }
}

/// Frames that are used again when nobody holds them any more, so that memory is touched once.
pub(super) struct Pool {
    format: Format,
    frames: Vec<Arc<Frame>>,
}

impl Pool {
    pub(super) fn new(format: Format) -> Self {
        Self { format, frames: Vec::new() }
    }

    /// A frame that nobody else holds.
    pub(super) fn take(&mut self) -> Arc<Frame> {
        let free = self.frames.iter().position(|frame| Arc::strong_count(frame) == 1);
        match free {
            Some(free) => self.frames.swap_remove(free),
            None => Arc::new(Frame::black(self.format)),
        }
    }

    /// Remembers a frame for later use.
    pub(super) fn remember(&mut self, frame: &Arc<Frame>) {
        self.frames.push(Arc::clone(frame));
    }
}

/// `frame` at a greater bit depth: samples are shifted up.
pub(super) fn deepened(frame: &Frame, depth: BitDepth) -> Result<Frame, Error> {
    let format = frame.format();
    let shift = depth.bits() - format.depth().bits();
    let target = Format::new(format.width(), format.height(), format.subsampling(), depth)?;
    let mut deep = Frame::black(target);
    deep.fill(|plane, x, y| frame.sample(plane, x, y) << shift);
    Ok(deep)
}

#[cfg(test)]
mod tests {
    use backlot_frames::Subsampling;

    use super::*;

    #[test]
    fn raw_planes_are_read_frame_by_frame() {
        let format = Format::new(3, 3, Subsampling::C420, BitDepth::TEN).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yuv");
        let bytes: Vec<u8> =
            (0..format.frame_bytes() * 2).map(|i| if i % 2 == 0 { (i / 2) as u8 } else { 1 }).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut input = Input::open(&path, Some(format)).unwrap();
        let mut frame = Frame::black(format);
        assert!(input.read(&mut frame).unwrap());
        assert_eq!((frame.sample(0, 0, 0), frame.sample(0, 2, 2), frame.sample(2, 1, 1)), (256, 264, 272));
        assert!(input.read(&mut frame).unwrap());
        assert_eq!(frame.sample(0, 0, 0), 256 + 17);
        assert!(!input.read(&mut frame).unwrap());
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut input = Input::open(&path, Some(format)).unwrap();
        assert!(input.read(&mut frame).unwrap());
        assert!(input.read(&mut frame).unwrap_err().to_string().contains("inside frame 1"));
    }
}
