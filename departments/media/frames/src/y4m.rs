//! YUV4MPEG2 (`.y4m`), the uncompressed stream that decoders and encoders pipe to each other.
//!
//! A stream is one header line, then per frame a `FRAME` line and the planes without padding; samples above eight
//! bits are two bytes, low byte first. The format is described in yuv4mpeg(5) of mjpegtools; the tags for high bit
//! depth (`420p10`, `mono12`, ...) are the ones that ffmpeg writes. The reader is strict, holds one frame, and never
//! allocates by a number it has not checked.

use std::io::{self, Read, Write};

use crate::{BitDepth, Error, Format, Frame, Pixels, Plane, Rate, Subsampling};

/// The longest header line taken. ffmpeg writes under 120 bytes; `X` comments are free text, so there is room.
const MAX_HEADER: usize = 1024;
/// The longest frame line taken, for the same reason.
const MAX_FRAME_LINE: usize = 256;
const MAGIC: &[u8] = b"YUV4MPEG2";

/// How the lines of a picture were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interlacing {
    /// The stream does not say.
    #[default]
    Unknown,
    /// All lines at once.
    Progressive,
    /// Two fields, top first.
    TopFirst,
    /// Two fields, bottom first.
    BottomFirst,
    /// Changes from frame to frame.
    Mixed,
}

/// What a stream's header line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Layout of every frame.
    pub format: Format,
    /// Frames per second; absent where the header says `F0:0` (unknown).
    pub rate: Option<Rate>,
    /// Interlacing of the pictures.
    pub interlacing: Interlacing,
    /// Pixel aspect ratio (width, height); absent where unknown.
    pub pixel_aspect: Option<(u32, u32)>,
    /// Whether samples span the full range (`XCOLORRANGE=FULL`), where the stream says.
    pub full_range: Option<bool>,
}

impl Header {
    /// A progressive stream with square pixels.
    pub fn new(format: Format, rate: Rate) -> Self {
        Self {
            format,
            rate: Some(rate),
            interlacing: Interlacing::Progressive,
            pixel_aspect: Some((1, 1)),
            full_range: None,
        }
    }

    fn parse(line: &str) -> Result<Self, Error> {
        let bad = |detail: String| Error::BadLine { what: "header", detail };
        let (mut width, mut height, mut rate) = (None, None, None);
        let mut layout = (Subsampling::C420, BitDepth::EIGHT);
        let (mut interlacing, mut pixel_aspect, mut full_range) = (Interlacing::Unknown, None, None);
        for token in line.split(' ').filter(|token| !token.is_empty()) {
            let mut characters = token.chars();
            let tag = characters.next().expect("invariant: empty tokens are filtered out");
            let value = characters.as_str();
            let number = || value.parse::<u64>().map_err(|_| bad(format!("{token:?} is not a number")));
            match tag {
                'W' => width = Some(number()?),
                'H' => height = Some(number()?),
                'F' => {
                    rate = Some(ratio(value).ok_or_else(|| bad(format!("{token:?} is not a frame rate")))?);
                }
                'A' => {
                    let (across, down) =
                        ratio(value).ok_or_else(|| bad(format!("{token:?} is not a pixel aspect")))?;
                    pixel_aspect = (across != 0 && down != 0).then_some((across, down));
                }
                'C' => layout = parse_colour(value)?,
                'I' => {
                    interlacing = match value {
                        "p" => Interlacing::Progressive,
                        "t" => Interlacing::TopFirst,
                        "b" => Interlacing::BottomFirst,
                        "m" => Interlacing::Mixed,
                        "?" => Interlacing::Unknown,
                        _ => return Err(bad(format!("{token:?} is not an interlacing"))),
                    }
                }
                'X' => match value {
                    "COLORRANGE=FULL" => full_range = Some(true),
                    "COLORRANGE=LIMITED" => full_range = Some(false),
                    _ => {}
                },
                _ => return Err(bad(format!("unknown tag {token:?}"))),
            }
        }
        let (width, height) = (
            width.ok_or_else(|| bad("it has no width (W)".to_owned()))?,
            height.ok_or_else(|| bad("it has no height (H)".to_owned()))?,
        );
        let (num, den) = rate.ok_or_else(|| bad("it has no frame rate (F)".to_owned()))?;
        let rate = if (num, den) == (0, 0) { None } else { Some(Rate::new(num, den)?) };
        let side = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
        let format = Format::new(side(width), side(height), layout.0, layout.1)?;
        Ok(Self { format, rate, interlacing, pixel_aspect, full_range })
    }

    fn line(&self) -> String {
        let interlacing = match self.interlacing {
            Interlacing::Unknown => '?',
            Interlacing::Progressive => 'p',
            Interlacing::TopFirst => 't',
            Interlacing::BottomFirst => 'b',
            Interlacing::Mixed => 'm',
        };
        let (num, den) = self.rate.map_or((0, 0), |rate| (rate.num(), rate.den()));
        let (across, down) = self.pixel_aspect.unwrap_or((0, 0));
        let range = match self.full_range {
            Some(true) => " XCOLORRANGE=FULL",
            Some(false) => " XCOLORRANGE=LIMITED",
            None => "",
        };
        let colour = colour_tag(self.format);
        let (width, height) = (self.format.width(), self.format.height());
        format!(
            "YUV4MPEG2 W{width} H{height} F{num}:{den} I{interlacing} A{across}:{down} C{colour}{range}\n"
        )
    }
}

fn ratio(text: &str) -> Option<(u32, u32)> {
    let (num, den) = text.split_once(':')?;
    Some((num.parse().ok()?, den.parse().ok()?))
}

fn parse_colour(tag: &str) -> Result<(Subsampling, BitDepth), Error> {
    let unsupported = || Error::ColourTag { tag: tag.to_owned() };
    // The variants of 8-bit 4:2:0 differ in where chroma samples sit, which no plane arithmetic here depends on.
    let (layout, rest) = match tag {
        "420jpeg" | "420mpeg2" | "420paldv" => (Subsampling::C420, ""),
        _ if tag.starts_with("mono") => (Subsampling::Mono, &tag[4..]),
        _ => {
            let (digits, rest) = tag.split_at_checked(3).ok_or_else(unsupported)?;
            let layout = match digits {
                "420" => Subsampling::C420,
                "422" => Subsampling::C422,
                "444" => Subsampling::C444,
                _ => return Err(unsupported()),
            };
            (layout, rest)
        }
    };
    if rest.is_empty() {
        return Ok((layout, BitDepth::EIGHT));
    }
    let digits =
        if layout == Subsampling::Mono { rest } else { rest.strip_prefix('p').ok_or_else(unsupported)? };
    let bits: u32 = digits.parse().map_err(|_| unsupported())?;
    if !(9..=16).contains(&bits) {
        return Err(unsupported());
    }
    Ok((layout, BitDepth::new(bits)?))
}

fn colour_tag(format: Format) -> String {
    let bits = format.depth().bits();
    let (layout, separator) = match format.subsampling() {
        Subsampling::Mono => ("mono", ""),
        Subsampling::C420 if bits == 8 => ("420jpeg", ""),
        Subsampling::C420 => ("420", "p"),
        Subsampling::C422 => ("422", "p"),
        Subsampling::C444 => ("444", "p"),
    };
    if bits == 8 { layout.to_owned() } else { format!("{layout}{separator}{bits}") }
}

/// Reads a stream frame by frame. Memory: one row of bytes, and the frames the caller keeps.
pub struct Reader<R> {
    stream: R,
    header: Header,
    frames_read: u64,
    row: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header line. Give a buffered stream, or a pipe: rows are read one at a time.
    pub fn new(mut stream: R) -> Result<Self, Error> {
        let mut magic = [0; MAGIC.len()];
        let got = read_full(&mut stream, &mut magic)?;
        if magic[..got] != *MAGIC {
            return Err(Error::NotY4m { start: String::from_utf8_lossy(&magic[..got]).into_owned() });
        }
        let line = read_line(&mut stream, MAX_HEADER, "header")?
            .ok_or_else(|| Error::BadLine { what: "header", detail: "it has no end".to_owned() })?;
        if !line.is_empty() && !line.starts_with(' ') {
            return Err(Error::BadLine { what: "header", detail: "no space after the magic".to_owned() });
        }
        Ok(Self { stream, header: Header::parse(&line)?, frames_read: 0, row: Vec::new() })
    }

    /// What the header line said.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Frames read so far.
    pub fn frames_read(&self) -> u64 {
        self.frames_read
    }

    /// The next frame, or `None` at the end of the stream between two frames.
    pub fn read_frame(&mut self) -> Result<Option<Frame>, Error> {
        let mut frame = Frame::black(self.header.format);
        Ok(self.read_frame_into(&mut frame)?.then_some(frame))
    }

    /// Reads the next frame over `frame`, which must have the stream's layout; `false` at the end of the stream.
    pub fn read_frame_into(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        let format = self.header.format;
        frame.expect_format(format)?;
        let Some(line) = read_line(&mut self.stream, MAX_FRAME_LINE, "frame line")? else { return Ok(false) };
        if line != "FRAME" && !line.starts_with("FRAME ") {
            let start: String = line.chars().take(20).collect();
            let detail = format!("frame {} begins with {start:?} instead of FRAME", self.frames_read);
            return Err(Error::BadLine { what: "frame line", detail });
        }
        let mut planes = PlaneReader { stream: &mut self.stream, row: &mut self.row, got: 0 };
        let filled = match frame.pixels_mut() {
            Pixels::Eight(pixels) => planes.read_bytes(pixels),
            Pixels::Deep(pixels) => {
                let index = self.frames_read;
                planes.read(pixels, |row, bytes| unpack_row(row, bytes, format.depth(), index))
            }
        }?;
        if !filled {
            let got = planes.got;
            return Err(Error::TruncatedFrame { frame: self.frames_read, got, wanted: format.frame_bytes() });
        }
        self.frames_read += 1;
        Ok(true)
    }
}

struct PlaneReader<'a, R> {
    stream: &'a mut R,
    row: &'a mut Vec<u8>,
    got: usize,
}

impl<R: Read> PlaneReader<'_, R> {
    /// As [`Self::read`], for samples that are bytes: they are read to where they stay, whole planes at a time where there is
    /// no padding.
    fn read_bytes(&mut self, planes: &mut [Plane<u8>]) -> Result<bool, Error> {
        for piece in planes.iter_mut().flat_map(Plane::pieces_mut) {
            let got = read_full(self.stream, piece)?;
            self.got += got;
            if got < piece.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fills all rows of all planes; `false` when the stream ends before.
    fn read<S: crate::Sample>(
        &mut self,
        planes: &mut [Plane<S>],
        mut unpack: impl FnMut(&mut [S], &[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        for row in planes.iter_mut().flat_map(Plane::rows_mut) {
            self.row.resize(size_of_val(row), 0);
            let got = read_full(self.stream, self.row)?;
            self.got += got;
            if got < self.row.len() {
                return Ok(false);
            }
            unpack(row, self.row)?;
        }
        Ok(true)
    }
}

fn unpack_row(row: &mut [u16], bytes: &[u8], depth: BitDepth, frame: u64) -> Result<(), Error> {
    let mut seen = 0;
    for (sample, pair) in row.iter_mut().zip(bytes.chunks_exact(2)) {
        *sample = u16::from_le_bytes([pair[0], pair[1]]);
        seen |= *sample;
    }
    if seen <= depth.peak() {
        return Ok(());
    }
    let value = row.iter().copied().max().unwrap_or(seen);
    Err(Error::SampleRange { frame, value, depth: depth.bits() })
}

/// Reads until `buffer` is full or the stream ends; the number of bytes read.
fn read_full(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// Reads to the next newline, which is dropped. `None` when the stream ends before the first byte.
fn read_line(stream: &mut impl Read, limit: usize, what: &'static str) -> Result<Option<String>, Error> {
    let bad = |detail: &str| Error::BadLine { what, detail: detail.to_owned() };
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if read_full(stream, &mut byte)? == 0 {
            return if line.is_empty() { Ok(None) } else { Err(bad("the stream ends inside it")) };
        }
        match byte[0] {
            b'\n' => break,
            _ if line.len() == limit => return Err(bad("it is longer than any writer makes it")),
            other => line.push(other),
        }
    }
    String::from_utf8(line).map(Some).map_err(|_| bad("it is not text"))
}

/// Writes a stream frame by frame.
pub struct Writer<W> {
    stream: W,
    format: Format,
    row: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header line.
    pub fn new(mut stream: W, header: Header) -> Result<Self, Error> {
        stream.write_all(header.line().as_bytes())?;
        Ok(Self { stream, format: header.format, row: Vec::new() })
    }

    /// Writes one frame of the header's layout.
    pub fn write_frame(&mut self, frame: &Frame) -> Result<(), Error> {
        frame.expect_format(self.format)?;
        self.stream.write_all(b"FRAME\n")?;
        match frame.pixels() {
            Pixels::Eight(planes) => {
                for row in planes.iter().flat_map(Plane::rows) {
                    self.stream.write_all(row)?;
                }
            }
            Pixels::Deep(planes) => {
                for row in planes.iter().flat_map(Plane::rows) {
                    self.row.clear();
                    self.row.extend(row.iter().flat_map(|sample| sample.to_le_bytes()));
                    self.stream.write_all(&self.row)?;
                }
            }
        }
        Ok(())
    }

    /// Flushes, and gives the stream back.
    pub fn into_inner(mut self) -> Result<W, Error> {
        self.stream.flush()?;
        Ok(self.stream)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(stream: &[u8]) -> String {
        let read_all = || -> Result<(), Error> {
            let mut reader = Reader::new(stream)?;
            while reader.read_frame()?.is_some() {}
            Ok(())
        };
        read_all().expect_err("the stream must be refused").to_string()
    }

    #[test]
    fn ffmpeg_headers_are_read() {
        let line =
            b"YUV4MPEG2 W1280 H720 F30000:1001 It A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\n";
        let header = Reader::new(line.as_slice()).unwrap().header().clone();
        assert_eq!((header.format.width(), header.format.height()), (1280, 720));
        assert_eq!(header.rate, Some(Rate::new(30_000, 1001).unwrap()));
        assert_eq!(header.interlacing, Interlacing::TopFirst);
        assert_eq!(header.full_range, Some(false));
        let header =
            Reader::new(b"YUV4MPEG2 W8 H8 F0:0 Ip A0:0 Cmono12\n".as_slice()).unwrap().header().clone();
        assert_eq!((header.rate, header.pixel_aspect), (None, None));
        assert_eq!(header.format.depth(), BitDepth::TWELVE);
    }

    #[test]
    fn bad_streams_end_in_one_clear_line() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "not a YUV4MPEG2 stream"),
            (b"hello world, a text", "begins with \"hello wor\""),
            (b"YUV4MPEG2 W4 H4 F25:1", "the stream ends inside it"),
            (b"YUV4MPEG2", "it has no end"),
            (b"YUV4MPEG2x W4 H4\n", "no space after the magic"),
            (b"YUV4MPEG2 H4 F25:1\n", "no width"),
            (b"YUV4MPEG2 W4 F25:1\n", "no height"),
            (b"YUV4MPEG2 W4 H4\n", "no frame rate"),
            (b"YUV4MPEG2 W0 H4 F25:1\n", "0x4 is out of range"),
            (b"YUV4MPEG2 W-4 H4 F25:1\n", "\"W-4\" is not a number"),
            (b"YUV4MPEG2 W4000000000 H4000000000 F25:1\n", "out of range"),
            (b"YUV4MPEG2 W99999999999999999999 H4 F25:1\n", "is not a number"),
            (b"YUV4MPEG2 W4 H4 F25:0\n", "25/0 is not a positive rational"),
            (b"YUV4MPEG2 W4 H4 F25:1 C411\n", "colour tag \"411\""),
            (b"YUV4MPEG2 W4 H4 F25:1 C444alpha\n", "-pix_fmt yuv420p"),
            (b"YUV4MPEG2 W4 H4 F25:1 C420p17\n", "colour tag"),
            (b"YUV4MPEG2 W4 H4 F25:1 C\xc3\xa9\xc3\xa9\n", "colour tag"),
            (b"YUV4MPEG2 W4 H4 F25:1 Ix\n", "interlacing"),
            (b"YUV4MPEG2 W4 H4 F25:1 Z9\n", "unknown tag"),
            (b"YUV4MPEG2 W4 H4 F25:1 Cmono\nFRAM", "the stream ends inside it"),
            (b"YUV4MPEG2 W4 H4 F25:1 Cmono\nframe\n", "instead of FRAME"),
            (b"YUV4MPEG2 W4 H4 F25:1 Cmono\nFRAME\n0123", "inside frame 0: 4 of 16 bytes"),
            (b"YUV4MPEG2 W1 H1 F25:1 Cmono10\nFRAME\n\xff\xff", "sample of 65535 in a 10-bit plane"),
        ];
        for (stream, expected) in cases {
            let message = refusal(stream);
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
            assert!(!message.contains('\n'), "{message:?} is more than a line");
        }
        let endless: Vec<u8> = MAGIC.iter().copied().chain(std::iter::repeat_n(b' ', 1 << 20)).collect();
        assert!(refusal(&endless).contains("longer than any writer"));
    }

    proptest! {
        #[test]
        fn frames_survive_the_round_trip(width in 1_usize..40, height in 1_usize..20, bits in 8_u32..=16, layout in 0_usize..4, seed in any::<u64>()) {
            let layout = [Subsampling::Mono, Subsampling::C420, Subsampling::C422, Subsampling::C444][layout];
            let format = Format::new(width, height, layout, BitDepth::new(bits).unwrap()).unwrap();
            let (a, b) = crate::ssim::tests::noisy_pair(format, seed);
            let mut writer = Writer::new(Vec::new(), Header::new(format, Rate::new(24_000, 1001).unwrap())).unwrap();
            writer.write_frame(&a).unwrap();
            writer.write_frame(&b).unwrap();
            let stream = writer.into_inner().unwrap();
            let mut reader = Reader::new(stream.as_slice()).unwrap();
            prop_assert_eq!(reader.header(), &Header::new(format, Rate::new(24_000, 1001).unwrap()));
            prop_assert_eq!(reader.read_frame().unwrap(), Some(a));
            prop_assert_eq!(reader.read_frame().unwrap(), Some(b));
            prop_assert_eq!(reader.read_frame().unwrap(), None);
            // Cut anywhere past the header, the stream is either at a frame's end or refused.
            let cut = &stream[..stream.len() - 1];
            prop_assert!(refusal(cut).contains("inside frame 1"));
        }

        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let stream = [b"YUV4MPEG2 ".as_slice(), &tail].concat();
            if let Ok(mut reader) = Reader::new(stream.as_slice()) {
                while let Ok(Some(_)) = reader.read_frame() {}
            }
        }
    }
}
