//! What a sample description says about its codec.

use super::read::{boxes, find};

/// Bytes of a sample description before the boxes inside it, its own header included (14496-12, section 12).
const VISUAL_HEADER: usize = 86;
const AUDIO_HEADER: usize = 36;

/// The RFC 6381 codec string of a sample description (`avc1`, `hvc1`, `av01` or `mp4a` box); `None` for any other.
pub(crate) fn codec_string(entry: &[u8]) -> Option<String> {
    match entry.get(4..8)? {
        // 14496-15: profile, constraints and level are the second to fourth byte of the configuration.
        b"avc1" => {
            let config = find(entry.get(VISUAL_HEADER..)?, *b"avcC")?;
            let [profile, constraints, level] = *config.get(1..4)? else { return None };
            Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        // 14496-15, annex E.3: profile, compatibility in reversed order of bits, tier and level, constraints without the
        // zeros at their end.
        b"hvc1" => {
            let config = find(entry.get(VISUAL_HEADER..)?, *b"hvcC")?;
            let profile = *config.get(1)?;
            let compatible = u32::from_be_bytes(*config.get(2..6)?.first_chunk()?).reverse_bits();
            let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
            let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
            let (constraints, level) = (config.get(6..12)?, *config.get(12)?);
            let told = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let mut string = format!("hvc1.{space}{}.{compatible:X}.{tier}{level}", profile & 0x1f);
            for byte in &constraints[..told] {
                string += &format!(".{byte:X}");
            }
            Some(string)
        }
        // AV1 in ISOBMFF, section 5: profile, level, tier and depth.
        b"av01" => {
            let config = find(entry.get(VISUAL_HEADER..)?, *b"av1C")?;
            let (levels, flags) = (*config.get(1)?, *config.get(2)?);
            let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
            let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
                (true, true) => 12,
                (true, false) => 10,
                _ => 8,
            };
            Some(format!("av01.{}.{:02}{tier}.{depth:02}", levels >> 5, levels & 0x1f))
        }
        // 14496-1: the object type of the decoder, then the audio object type of its configuration.
        b"mp4a" => {
            let descriptors = find(entry.get(AUDIO_HEADER..)?, *b"esds")?.get(4..)?;
            let stream = descriptor(descriptors, 0x03)?;
            let decoder = descriptor(stream.get(3..)?, 0x04)?;
            let config = descriptor(decoder.get(13..)?, 0x05)?;
            Some(format!("mp4a.{:02x}.{}", decoder.first()?, config.first()? >> 3))
        }
        _ => None,
    }
}

/// The contents of the descriptor that begins `data`, which must have tag `tag`. Its length has seven bits per byte.
fn descriptor(data: &[u8], tag: u8) -> Option<&[u8]> {
    if *data.first()? != tag {
        return None;
    }
    let mut length = 0_usize;
    for (index, &byte) in data[1..].iter().take(4).enumerate() {
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return data.get(2 + index..)?.get(..length);
        }
    }
    None
}

/// A sample description without its `btrt` box, whose bit rates differ between shots that are otherwise alike.
pub(crate) fn without_bit_rate(entry: &[u8]) -> Vec<u8> {
    let header = if entry.get(4..8) == Some(b"mp4a") { AUDIO_HEADER } else { VISUAL_HEADER };
    let Some((head, inside)) = entry.split_at_checked(header) else { return entry.to_vec() };
    let mut kept = head.to_vec();
    for (kind, range) in boxes(inside) {
        if kind != *b"btrt" {
            kept.extend_from_slice(&inside[range]);
        }
    }
    let size = (kept.len() as u32).to_be_bytes();
    kept[..4].copy_from_slice(&size);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: [u8; 4], contents: &[u8]) -> Vec<u8> {
        let size = (8 + contents.len()) as u32;
        [&size.to_be_bytes(), kind.as_slice(), contents].concat()
    }

    #[test]
    fn codecs_are_named_as_rfc_6381_has_it() {
        let visual =
            |kind: [u8; 4], config: Vec<u8>| boxed(kind, &[vec![0; VISUAL_HEADER - 8], config].concat());
        let avc = visual(*b"avc1", boxed(*b"avcC", &[1, 0x64, 0, 0x1f, 0xff]));
        assert_eq!(codec_string(&avc).as_deref(), Some("avc1.64001f"));
        let av1 = visual(*b"av01", boxed(*b"av1C", &[0x81, 0x04, 0x0c, 0]));
        assert_eq!(codec_string(&av1).as_deref(), Some("av01.0.04M.08"));
        let ten = visual(*b"av01", boxed(*b"av1C", &[0x81, 0x09, 0xcc, 0]));
        assert_eq!(codec_string(&ten).as_deref(), Some("av01.0.09H.10"));
        // Main profile, compatible with Main and Main 10, main tier, level 3.1, progressive.
        let hevc = [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0];
        let hevc = visual(*b"hvc1", boxed(*b"hvcC", &hevc));
        assert_eq!(codec_string(&hevc).as_deref(), Some("hvc1.1.6.L93.90"));
        let config = [5, 2, 0x11, 0x90];
        let decoder = [[4, 13 + 4].as_slice(), &[0x40], &[0; 12], &config].concat();
        let stream = [[3, 0x80, 0x80, 0x80, 3 + decoder.len() as u8].as_slice(), &[0; 3], &decoder].concat();
        let esds = boxed(*b"esds", &[vec![0; 4], stream].concat());
        let aac = boxed(*b"mp4a", &[vec![0; AUDIO_HEADER - 8], esds].concat());
        assert_eq!(codec_string(&aac).as_deref(), Some("mp4a.40.2"));
        for cut in 0..aac.len() {
            let _ = codec_string(&aac[..cut]);
        }
        assert_eq!(codec_string(&boxed(*b"vp09", &[0; 100])), None);
    }

    #[test]
    fn only_the_bit_rate_goes() {
        let config = boxed(*b"avcC", &[1, 2, 3, 4]);
        let bit_rate = boxed(*b"btrt", &[0; 12]);
        let head = vec![7; VISUAL_HEADER - 8];
        let with = boxed(*b"avc1", &[head.clone(), config.clone(), bit_rate].concat());
        assert_eq!(without_bit_rate(&with), boxed(*b"avc1", &[head, config].concat()));
    }
}
