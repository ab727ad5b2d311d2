//! HLS playlists (RFC 8216, version 7 for fragmented MP4).

use std::fmt::Write;

use crate::plan::Size;

/// A media playlist: segment files with their durations in seconds.
pub(super) fn media(init: &str, segments: &[(String, f64)], target_seconds: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target_seconds}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{init}\"\n"
    );
    for (name, seconds) in segments {
        let _ = writeln!(text, "#EXTINF:{seconds:.6},\n{name}");
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// One rung as the master playlist tells of it.
pub(super) struct Variant {
    pub(super) uri: String,
    pub(super) peak_rate: f64,
    pub(super) mean_rate: f64,
    pub(super) codecs: Vec<String>,
    pub(super) size: Size,
    pub(super) frames_per_second: f64,
}

/// The audio that all rungs share.
pub(super) struct AudioGroup {
    pub(super) uri: String,
    pub(super) channels: u32,
}

/// The master playlist, rungs in the order given (players start with the first).
pub(super) fn master(variants: &[Variant], audio: Option<&AudioGroup>) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    if let Some(AudioGroup { uri, channels }) = audio {
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Main\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{uri}\""
        );
    }
    for variant in variants {
        let group = if audio.is_some() { ",AUDIO=\"audio\"" } else { "" };
        let _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={:.0},AVERAGE-BANDWIDTH={:.0},CODECS=\"{}\",RESOLUTION={},FRAME-RATE={:.3}{group}\n{}",
            variant.peak_rate.ceil(),
            variant.mean_rate.ceil(),
            variant.codecs.join(","),
            variant.size,
            variant.frames_per_second,
            variant.uri
        );
    }
    text
}
