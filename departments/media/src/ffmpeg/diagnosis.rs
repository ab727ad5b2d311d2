//! From the end of ffmpeg's log to the one error that matters.
//!
//! ffmpeg reports a failure several times, from the cause up to the command line, and the last line is the least
//! telling. The causes that a user can mend have phrases that have not changed in ten years; they are looked for first.

use std::{collections::VecDeque, path::Path, process::ExitStatus};

use crate::Error;

/// Lines that only repeat that something failed, in the words of several releases.
const ECHOES: &[&str] = &[
    "Error opening input file",
    "Error opening output file",
    "Conversion failed",
    "Task finished with error code",
    "Terminating thread with return code",
    "Terminating demuxer thread",
    "Nothing was written into output file",
    "Exiting",
    "To ignore this, add",
    "Last message repeated",
];

/// Lines that tell of the cause of a failure.
const CAUSES: &[&str] =
    &["rror", "nvalid", "annot", "ould not", "ailed", "orrupt", "nable", "missing", "not found"];

pub(super) fn error_of(
    what: &str,
    subject: &Path,
    output: Option<&Path>,
    log: &VecDeque<String>,
    status: ExitStatus,
) -> Error {
    let has = |phrase: &str| log.iter().any(|line| line.contains(phrase));
    let path = subject.to_owned();
    if has("No space left on device") || has("Disk quota exceeded") {
        return Error::NoSpace { path: output.unwrap_or(subject).to_owned() };
    }
    if has("matches no streams") {
        return Error::NoVideo { path };
    }
    if has("moov atom not found") {
        // Files that begin like MP4 are checked before ffmpeg sees them: this one is a guess by its name.
        return Error::NotVideo { path, detail: "ffmpeg recognises nothing in it".to_owned() };
    }
    let line = decisive_line(log);
    if status.code().is_none() {
        return Error::Child {
            what: what.to_owned(),
            status: status.to_string(),
            line: "it was killed".to_owned(),
        };
    }
    if DECODER_FAILURES.iter().any(|phrase| has(phrase)) {
        return Error::Damaged { path, detail: line };
    }
    if has("Invalid data found when processing input") {
        return Error::NotVideo { path, detail: line };
    }
    Error::Child { what: what.to_owned(), status: status.to_string(), line }
}

/// What decoders and demuxers say under `-xerror`.
const DECODER_FAILURES: &[&str] = &[
    "Error while decoding stream",
    "Error submitting packet to decoder",
    "Decode error rate",
    "corrupt",
    "error while decoding MB",
    "Invalid NAL unit size",
    "Error during demuxing",
    "stream 0, offset",
];

fn decisive_line(log: &VecDeque<String>) -> String {
    let telling = |line: &&String| !line.trim().is_empty() && !ECHOES.iter().any(|echo| line.contains(echo));
    let cause = log.iter().filter(telling).find(|line| CAUSES.iter().any(|word| line.contains(word)));
    let line = cause.or_else(|| log.iter().rfind(telling)).or(log.back());
    // "[h264 @ 0x55d0c8] text": the address says nothing.
    let text = line
        .map_or("it printed nothing", |line| line.rsplit_once("] ").map_or(line.as_str(), |(_, text)| text));
    text.trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn message(log: &str) -> String {
        let log = log.lines().map(str::to_owned).collect();
        let status = ExitStatus::from_raw(1 << 8);
        error_of("encoding", Path::new("in.mp4"), Some(Path::new("/w/out.mp4")), &log, status).to_string()
    }

    #[test]
    fn the_cause_is_named_not_its_echo() {
        let full = "[out#0/mp4 @ 0x5] Error writing trailer: No space left on device\nConversion failed!";
        assert!(message(full).contains("no space left on the device of /w/out.mp4"));
        let old = "[mov,mp4 @ 0x5] moov atom not found\nin.mp4: Invalid data found when processing input";
        assert!(message(old).contains("not a video file"));
        assert!(
            message("Stream map '0:v:0' matches no streams.\nTo ignore this, add a trailing '?'")
                .contains("audio only")
        );
        let unknown =
            "[libx264 @ 0x5] [warn] something\n[libx264 @ 0x5] Error setting option crf\nConversion failed!";
        assert!(message(unknown).ends_with("Error setting option crf"), "{}", message(unknown));
        assert!(message("").contains("it printed nothing"));
    }
}
