//! The part of MP4 (ISO/IEC 14496-12) that stitching needs: where the samples of one track lie in a file that an encoder
//! wrote, and fragmented files to put them in. Box names are those of the standard; numbers are big-endian.

mod codec;
mod read;
mod write;

pub(crate) use codec::{codec_string, without_bit_rate};
pub(crate) use read::{Sample, Track, read_samples, read_track};
pub(crate) use write::{FragmentSample, InitTrack, Media, fragment, init_segment};
