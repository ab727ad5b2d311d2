//! Writing fragmented MP4: an initialisation segment, then fragments of one track each (CMAF, ISO/IEC 23000-19).
//!
//! Pictures are decoded in another order than they are shown, so the first one is shown some frames after its decoding
//! time; an edit list takes that delay back, and likewise an audio encoder's delay. (Signed composition offsets would
//! do for pictures without one, but FFmpeg shows such a fragmented track late.)

/// What kind of track, with its measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// Pictures of this width and height in pixels.
    Video { width: u32, height: u32 },
    /// Sound.
    Audio,
}

/// A track as the initialisation segment describes it.
#[derive(Clone, Debug)]
pub(crate) struct InitTrack<'a> {
    /// 1 or more, unique in the file.
    pub(crate) id: u32,
    /// Its kind.
    pub(crate) media: Media,
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// Ticks of the media before what is shown or heard first.
    pub(crate) skipped: u64,
    /// Length of what is shown or heard, in ticks.
    pub(crate) duration: u64,
    /// The sample description box.
    pub(crate) entry: &'a [u8],
}

/// A sample of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentSample {
    /// Bytes.
    pub(crate) size: u32,
    /// Ticks.
    pub(crate) duration: u32,
    /// Ticks from decoding to showing.
    pub(crate) composition: u32,
    /// Whether decoding can begin here.
    pub(crate) is_sync: bool,
}

/// Ticks per second of the movie, which only durations and edits are told in.
const MOVIE_TIMESCALE: u32 = 90_000;
/// Rows of the identity matrix in 16.16 and 2.30 fixed point.
const IDENTITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// "und" packed in five bits per letter.
const UNDETERMINED: u16 = 0x55c4;
/// `sample_depends_on = 2` (none), and `= 1` with `sample_is_non_sync_sample`.
const SYNC_FLAGS: u32 = 0x0200_0000;
const NON_SYNC_FLAGS: u32 = 0x0101_0000;

/// The bytes of boxes, written front to back; a box's size is filled in when it closes.
#[derive(Default)]
struct Boxes(Vec<u8>);

impl Boxes {
    fn boxed(&mut self, kind: [u8; 4], inside: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.u32(0);
        self.bytes(&kind);
        inside(self);
        let size = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// A box that begins with a version and flags.
    fn full(&mut self, kind: [u8; 4], version: u8, flags: u32, inside: impl FnOnce(&mut Self)) {
        self.boxed(kind, |boxes| {
            boxes.u32(u32::from(version) << 24 | flags);
            inside(boxes);
        });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u16(&mut self, number: u16) {
        self.bytes(&number.to_be_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    /// The identity matrix.
    fn matrix(&mut self) {
        for number in IDENTITY {
            self.u32(number);
        }
    }

    fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }
}

/// The initialisation segment (`ftyp` and `moov`) of a file with these tracks.
pub(crate) fn init_segment(tracks: &[InitTrack<'_>]) -> Vec<u8> {
    let mut boxes = Boxes::default();
    boxes.boxed(*b"ftyp", |boxes| {
        boxes.bytes(b"iso6");
        boxes.u32(0);
        for brand in [b"iso6", b"cmfc", b"mp41"] {
            boxes.bytes(brand);
        }
    });
    let duration = tracks.iter().map(|track| movie_ticks(track, track.duration)).max().unwrap_or(0);
    boxes.boxed(*b"moov", |boxes| {
        boxes.full(*b"mvhd", 1, 0, |boxes| {
            boxes.zeros(16);
            boxes.u32(MOVIE_TIMESCALE);
            boxes.u64(0);
            boxes.u32(0x1_0000);
            boxes.u16(0x100);
            boxes.zeros(10);
            boxes.matrix();
            boxes.zeros(24);
            boxes.u32(tracks.iter().map(|track| track.id).max().unwrap_or(0) + 1);
        });
        for track in tracks {
            write_track(boxes, track);
        }
        boxes.boxed(*b"mvex", |boxes| {
            boxes.full(*b"mehd", 1, 0, |boxes| boxes.u64(duration));
            for track in tracks {
                boxes.full(*b"trex", 0, 0, |boxes| {
                    boxes.u32(track.id);
                    boxes.u32(1);
                    boxes.zeros(12);
                });
            }
        });
    });
    boxes.0
}

fn movie_ticks(track: &InitTrack<'_>, ticks: u64) -> u64 {
    let exact = u128::from(ticks) * u128::from(MOVIE_TIMESCALE);
    (exact.div_ceil(track.timescale.into())) as u64
}

fn write_track(boxes: &mut Boxes, track: &InitTrack<'_>) {
    let (handler, name, volume, width, height) = match track.media {
        Media::Video { width, height } => (b"vide", b"video\0", 0, width, height),
        Media::Audio => (b"soun", b"audio\0", 0x100, 0, 0),
    };
    boxes.boxed(*b"trak", |boxes| {
        // Enabled, in the movie.
        boxes.full(*b"tkhd", 1, 3, |boxes| {
            boxes.zeros(16);
            boxes.u32(track.id);
            boxes.zeros(4);
            boxes.u64(0);
            boxes.zeros(8);
            boxes.u16(0);
            // Tracks of one kind are alternatives of each other.
            boxes.u16(u16::from(volume != 0));
            boxes.u16(volume);
            boxes.u16(0);
            boxes.matrix();
            boxes.u32(width << 16);
            boxes.u32(height << 16);
        });
        if track.skipped > 0 {
            boxes.boxed(*b"edts", |boxes| {
                boxes.full(*b"elst", 1, 0, |boxes| {
                    boxes.u32(1);
                    boxes.u64(movie_ticks(track, track.duration));
                    boxes.u64(track.skipped);
                    boxes.u32(0x1_0000);
                });
            });
        }
        boxes.boxed(*b"mdia", |boxes| {
            boxes.full(*b"mdhd", 1, 0, |boxes| {
                boxes.zeros(16);
                boxes.u32(track.timescale);
                boxes.u64(0);
                boxes.u16(UNDETERMINED);
                boxes.u16(0);
            });
            boxes.full(*b"hdlr", 0, 0, |boxes| {
                boxes.u32(0);
                boxes.bytes(handler);
                boxes.zeros(12);
                boxes.bytes(name);
            });
            boxes.boxed(*b"minf", |boxes| {
                match track.media {
                    Media::Video { .. } => boxes.full(*b"vmhd", 0, 1, |boxes| boxes.zeros(8)),
                    Media::Audio => boxes.full(*b"smhd", 0, 0, |boxes| boxes.zeros(4)),
                }
                boxes.boxed(*b"dinf", |boxes| {
                    boxes.full(*b"dref", 0, 0, |boxes| {
                        boxes.u32(1);
                        // The media is in this file.
                        boxes.full(*b"url ", 0, 1, |_| {});
                    });
                });
                boxes.boxed(*b"stbl", |boxes| {
                    boxes.full(*b"stsd", 0, 0, |boxes| {
                        boxes.u32(1);
                        boxes.bytes(track.entry);
                    });
                    boxes.full(*b"stts", 0, 0, |boxes| boxes.u32(0));
                    boxes.full(*b"stsc", 0, 0, |boxes| boxes.u32(0));
                    boxes.full(*b"stsz", 0, 0, |boxes| boxes.zeros(8));
                    boxes.full(*b"stco", 0, 0, |boxes| boxes.u32(0));
                });
            });
        });
    });
}

/// The boxes of a fragment (`moof` and the head of `mdat`) whose samples begin at `decode_time` in ticks; the samples'
/// bytes, `payload` of them, follow. `sequence` counts fragments from 1.
pub(crate) fn fragment(
    track_id: u32,
    sequence: u32,
    decode_time: u64,
    samples: &[FragmentSample],
    payload: &[u8],
) -> Vec<u8> {
    let mut boxes = Boxes::default();
    let mut data_offset_at = 0;
    boxes.boxed(*b"moof", |boxes| {
        boxes.full(*b"mfhd", 0, 0, |boxes| boxes.u32(sequence));
        boxes.boxed(*b"traf", |boxes| {
            // Offsets count from the start of this moof.
            boxes.full(*b"tfhd", 0, 0x02_0000, |boxes| boxes.u32(track_id));
            boxes.full(*b"tfdt", 1, 0, |boxes| boxes.u64(decode_time));
            // Given: data offset; per sample duration, size, flags and composition offset.
            boxes.full(*b"trun", 0, 0x0f01, |boxes| {
                boxes.u32(samples.len() as u32);
                data_offset_at = boxes.0.len();
                boxes.u32(0);
                for sample in samples {
                    boxes.u32(sample.duration);
                    boxes.u32(sample.size);
                    boxes.u32(if sample.is_sync { SYNC_FLAGS } else { NON_SYNC_FLAGS });
                    boxes.u32(sample.composition);
                }
            });
        });
    });
    let data_offset = boxes.0.len() as u32 + 8;
    boxes.0[data_offset_at..data_offset_at + 4].copy_from_slice(&data_offset.to_be_bytes());
    boxes.boxed(*b"mdat", |boxes| boxes.bytes(payload));
    boxes.0
}
