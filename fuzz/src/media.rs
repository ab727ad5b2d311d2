//! What the media department reads from files and pipes.

use std::collections::HashMap;

use backlot_frames::Reader;
use backlot_mezzfs::manifest::{MountManifest, ObjectManifest};
use backlot_mezzfs::replay::{Replay, Summary, picture};
use backlot_mezzfs::tree::Tree;
use backlot_vmaf::{Model, ModelOptions};

/// Frames larger than this take milliseconds, not microseconds, and no other code.
const LARGEST_FUZZED_FRAME: usize = 1 << 16;
/// Trees are built below this many files, so that an input stays quick.
const MOST_MOUNTED: u64 = 2000;
/// How large the objects of a fuzzed mount are.
const FUZZED_SIZES: [u64; 4] = [1000, 0, 1 << 40, i64::MAX as u64];
/// Pictures of a replay are tried below this many records, so that an input stays quick.
const MOST_DRAWN: usize = 1000;

pub(crate) fn y4m(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let format = &reader.header().format;
    if format.width() * format.height() > LARGEST_FUZZED_FRAME {
        return;
    }
    while let Ok(Some(_)) = reader.read_frame() {}
}

pub(crate) fn models(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(Model::parse(text, &ModelOptions::default()));
    }
}

pub(crate) fn support_vectors(bytes: &[u8]) {
    let model = serde_json::json!({ "model_dict": {
        "model_type": "LIBSVMNUSVR",
        "norm_type": "linear_rescale",
        "feature_names": ["VMAF_integer_feature_motion2_score"],
        "slopes": [1.0, 1.0],
        "intercepts": [0.0, 0.0],
        "score_clip": [0.0, 100.0],
        "model": String::from_utf8_lossy(bytes),
    } });
    drop(Model::parse(&model.to_string(), &ModelOptions::default()));
}

pub(crate) fn manifests(bytes: &[u8]) {
    if let Ok(manifest) = ObjectManifest::parse("fuzzed", bytes) {
        for part in [0, 1, usize::MAX] {
            assert!(manifest.part_size(part) <= manifest.size, "a part is larger than its object");
            let _ = manifest.stored_size(part);
        }
        let _ = manifest.binding();
    }
    let Ok(manifest) = MountManifest::parse("fuzzed", bytes) else { return };
    let files = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.count.unwrap_or(1)));
    if files > MOST_MOUNTED {
        return;
    }
    let objects: HashMap<String, (u32, u64)> =
        manifest.objects.keys().cloned().zip((0..).zip(FUZZED_SIZES)).collect();
    let Ok(tree) = Tree::build("fuzzed", &manifest.files, &objects) else { return };
    for (&(object, size), at) in objects.values().zip([0, 1, 999, u64::MAX]) {
        let region = tree.region(object, at);
        assert!(region.end <= size || region.is_empty(), "a file has more bytes than its object");
    }
}

pub(crate) fn replays(bytes: &[u8]) {
    let Ok(replay) = Replay::parse("fuzzed", bytes) else { return };
    let _ = Summary::of(&replay);
    if replay.records.len() <= MOST_DRAWN {
        let _ = picture::cells(&replay, 0, picture::end(&replay), 64);
    }
}
