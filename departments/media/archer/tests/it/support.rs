//! A decoder that needs no ffmpeg: its clips are text files, its frames small gray pictures that follow from their number.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use backlot_archer::local::{Listener, LocalRun};
use backlot_archer::media::{Delivered, Loudness, Media, Progress, Source};
use backlot_archer::native::Natives;
use backlot_archer::steps::Made;
use backlot_archer::{Failure, FrameRequest, Job};
use backlot_frames::{Rate, Shot};
use serde_json::{Map, Value};

/// Frames of the clip.
pub(crate) const FRAMES: u64 = 20;

/// A clip of gray frames of 4 by 2 pixels whose value is their number. Its first byte is added to each.
pub(crate) struct Drawn;

#[async_trait]
impl Media for Drawn {
    async fn version(&self) -> Result<String, Failure> {
        Ok("drawn 1".to_owned())
    }

    async fn probe(&self, path: &Path, name: &str, _fps: Option<Rate>) -> Result<Source, Failure> {
        if !path.is_file() {
            return Err(Failure::Refused(format!("{name} is missing; give another")));
        }
        let rate = Rate::new(10, 1).unwrap();
        Ok(Source {
            name: name.to_owned(),
            width: 4,
            height: 2,
            frames: FRAMES,
            rate,
            duration: rate.seconds(FRAMES),
            pixel_format: "gray".to_owned(),
            bit_depth: 8,
            audio: Vec::new(),
            decoder: Value::Null,
        })
    }

    async fn shots(&self, _path: &Path, source: &Source, _progress: Progress) -> Result<Vec<Shot>, Failure> {
        Ok(vec![Shot { start: 0, end: 7 }, Shot { start: 7, end: source.frames }])
    }

    async fn deliver(
        &self,
        path: &Path,
        source: &Source,
        range: Shot,
        request: &FrameRequest,
        directory: &Path,
    ) -> Result<Delivered, Failure> {
        let first = std::fs::read(path).unwrap().first().copied().unwrap_or(0);
        let numbers = (range.start..range.end).filter(|number| number.is_multiple_of(request.every));
        let files = numbers.map(|number| {
            let file = directory.join(format!("{number:09}.{}", request.encoding.extension()));
            std::fs::write(&file, [first.wrapping_add(number as u8); 8]).unwrap();
            (number, file)
        });
        let (width, height, format) = (source.width, source.height, "gray".to_owned());
        Ok(Delivered { width, height, format, files: files.collect() })
    }

    async fn loudness(&self, _path: &Path, source: &Source, _track: u32) -> Result<Loudness, Failure> {
        Err(Failure::Refused(format!("{} has no sound", source.name)))
    }
}

/// Keeps what is said.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<Vec<String>>);

impl Listener for Kept {
    fn line(&self, who: &str, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{who}: {line}"));
    }

    fn parts(&self, _done: usize, _of: usize) {}
}

/// A job from TOML.
pub(crate) fn job(text: &str) -> Job {
    Job::from_toml(text).unwrap()
}

/// Runs a job here on a clip in `home`. Its files are seen from `home`.
pub(crate) async fn run(home: &Path, job: &Job) -> Result<(Made, tempfile::TempDir), Failure> {
    let clip = home.join("clip.mp4");
    if !clip.exists() {
        std::fs::write(&clip, "a clip").unwrap();
    }
    let run = LocalRun {
        job: job.clone(),
        base: home.to_owned(),
        params: job.bind(Map::new()).unwrap(),
        clip,
        fps: None,
        at_once: 4,
    };
    run.run(Arc::new(Drawn), Natives::shipped(), Arc::new(Kept::default())).await
}
