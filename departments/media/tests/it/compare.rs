//! Renditions beside their reference: late ones are found out, and scored as if they were not.

use std::path::{Path, PathBuf};

use backlot_frames::Rate;
use backlot_media::compare::{
    CompareOptions, Comparison, Prepared, compare, prepare_reference, prepare_rendition, worst_frames,
};
use backlot_media::ffmpeg::Ffmpeg;
use backlot_vmaf::{Model, ModelOptions, tool::find_model_beside};

use crate::outside;

struct Scene {
    ffmpeg: Ffmpeg,
    dir: tempfile::TempDir,
    reference: PathBuf,
}

impl Scene {
    /// Fifty frames of film.
    async fn new() -> Option<Self> {
        let (ffmpeg, film) = (outside::ffmpeg().await?, outside::clip("bikes.mp4")?);
        let dir = tempfile::tempdir().unwrap();
        let reference = dir.path().join("reference.mkv");
        let cut = "trim=start_frame=80:end_frame=130,setpts=PTS-STARTPTS,scale=480:204";
        make(&ffmpeg, &film, cut, &["-c:v", "ffv1", "-an"], &reference);
        Some(Self { ffmpeg, dir, reference })
    }

    /// A rendition of the reference.
    fn rendition(&self, name: &str, filters: &str, codec: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        make(&self.ffmpeg, &self.reference, filters, codec, &path);
        path
    }

    async fn prepared(&self, renditions: &[&Path]) -> (Prepared, Vec<Prepared>) {
        let reference = prepare_reference(&self.ffmpeg, &self.reference, None).await.unwrap();
        let mut prepared = Vec::new();
        for path in renditions {
            prepared.push(prepare_rendition(&self.ffmpeg, path, &reference).await.unwrap());
        }
        (reference, prepared)
    }

    async fn compare(&self, renditions: &[&Path], max_offset: usize) -> Comparison {
        let (reference, prepared) = self.prepared(renditions).await;
        let options = CompareOptions { max_offset, models: self.models() };
        compare(&self.ffmpeg, &reference, &prepared, &options, |_| ()).await.unwrap()
    }

    /// The model of VMAF, where one is at hand.
    fn models(&self) -> Vec<Model> {
        let Ok(text) = find_model_beside("vmaf_v0.6.1", &[self.ffmpeg.path().to_owned()]) else {
            outside::skipped("a model of VMAF", "install it with `pip install imageio-ffmpeg`");
            return Vec::new();
        };
        let options = ModelOptions { name: Some("vmaf".to_owned()), ..ModelOptions::default() };
        vec![Model::parse(&text, &options).unwrap()]
    }
}

fn make(ffmpeg: &Ffmpeg, input: &Path, filters: &str, codec: &[&str], output: &Path) {
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    outside::run(ffmpeg, &[&["-i", input, "-vf", filters], codec, &[output]].concat());
}

const LOSSY: [&str; 6] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "30"];
const LOSSLESS: [&str; 2] = ["-c:v", "ffv1"];

#[tokio::test]
async fn a_late_rendition_has_the_score_of_the_aligned_one() {
    let Some(scene) = Scene::new().await else { return };
    let aligned = scene.rendition("aligned.mp4", "null", &LOSSY);
    let shifted = |name: &str, filters: &str| {
        let path = scene.dir.path().join(name);
        make(&scene.ffmpeg, &aligned, filters, &LOSSLESS, &path);
        path
    };
    // The same decoded pictures: three frames late, and another that has lost its first two.
    let late = shifted("late.mkv", "tpad=start=3:start_mode=clone");
    let early = shifted("early.mkv", "trim=start_frame=2,setpts=PTS-STARTPTS");
    let found = scene.compare(&[&aligned, &late, &early], 20).await;
    let [aligned, late, early] = &found.renditions[..] else { panic!("{found:?}") };
    assert_eq!((aligned.offset, late.offset, early.offset), (0, 3, -2));
    assert_eq!((aligned.compared, late.compared, early.compared), (50, 50, 48));
    assert!(aligned.notes.is_empty(), "{:?}", aligned.notes);
    assert!(late.notes[0].contains("begins 3 frames later"), "{:?}", late.notes);
    assert!(early.notes[0].contains("begins 2 frames earlier"), "{:?}", early.notes);
    assert_eq!(late.scores, aligned.scores);
    // Of the early one the first frames are missing; PSNR of the others is the same.
    let psnr =
        |rendition: &backlot_media::compare::Rendition| rendition.score("psnr_y").unwrap().frames.clone();
    assert_eq!(psnr(early), psnr(aligned)[2..]);
    assert_eq!(early.first_frame, 2);

    // Taken as they come, the late one is scored against the wrong pictures.
    let blind = scene.compare(&[Path::new(&late.clip.path)], 0).await;
    let name = late.scores[0].name.clone();
    let (wrong, right) = (blind.renditions[0].score(&name).unwrap().mean, late.scores[0].mean);
    assert!(wrong < right - 5.0, "{name}: {wrong} {right}");
}

#[tokio::test]
async fn sizes_rates_and_formats_are_brought_together() {
    let Some(scene) = Scene::new().await else { return };
    let small = scene.rendition("small.mp4", "scale=240:102", &LOSSY);
    let fast = scene.rendition("fast.mkv", "fps=50", &LOSSLESS);
    let deep = scene.rendition("deep.mkv", "format=yuv444p10le", &LOSSLESS);
    let found = scene.compare(&[&small, &fast, &deep], 20).await;
    let [small, fast, deep] = &found.renditions[..] else { panic!("{found:?}") };
    assert!(
        small.notes.iter().any(|note| note.contains("scaled from 240x102 to 480x204")),
        "{:?}",
        small.notes
    );
    assert!(fast.notes.iter().any(|note| note.contains("from 50.000 to 25.000")), "{:?}", fast.notes);
    assert!(deep.notes.iter().any(|note| note.contains("yuv444p10le")), "{:?}", deep.notes);
    let psnr = |rendition: &backlot_media::compare::Rendition| rendition.score("psnr_y").unwrap().mean;
    assert!(psnr(small) < 40.0 && psnr(fast) > 190.0 && psnr(deep) > 190.0, "{found:?}");
    assert_eq!(fast.clip.rate, Rate::new(50, 1).unwrap());
    assert_eq!(small.worst.len(), 2, "no two of the worst frames within a second: {:?}", small.worst);

    let (reference, prepared) = scene.prepared(&[Path::new(&small.clip.path)]).await;
    let sheet = scene.dir.path().join("sheet.png");
    worst_frames(&scene.ffmpeg, &reference, &prepared[0], small, scene.dir.path(), &sheet).await.unwrap();
    let png = std::fs::read(&sheet).unwrap();
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (2 * 480, 2 * 204));
}

#[tokio::test]
async fn another_film_is_noticed() {
    let Some(scene) = Scene::new().await else { return };
    let other = scene.dir.path().join("other.mkv");
    let source = "testsrc2=size=480x204:rate=25:duration=2";
    outside::run(&scene.ffmpeg, &["-f", "lavfi", "-i", source, "-c:v", "ffv1", other.to_str().unwrap()]);
    let found = scene.compare(&[&other], 20).await;
    let notes = &found.renditions[0].notes;
    assert!(notes.iter().any(|note| note.contains("looks little like the reference")), "{notes:?}");
}
