//! A comparison that is kept: the server scores the files as the command does by itself, and shows them under its addresses.

use std::path::PathBuf;
use std::process::Command;

use backlot_media::ffmpeg::FfmpegSearch;

use crate::premiere::{skipped, venv};
use crate::support::{Answer, Lot, Service, finish};

/// A lot with a short film, an encode of it, and that encode three frames late.
struct Clips {
    lot: Lot,
    ffmpeg: PathBuf,
}

impl Clips {
    fn new() -> Option<Self> {
        let mut search = FfmpegSearch::from_env();
        search.roots.extend(venv());
        let Ok(ffmpeg) = search.locate() else {
            skipped("ffmpeg", "run `cargo xtask setup`");
            return None;
        };
        let clips = Self { lot: Lot::new(), ffmpeg };
        let film = "mandelbrot=size=320x180:rate=25:end_scale=0.02";
        clips.make(&["-f", "lavfi", "-i", film, "-frames:v", "30", "-c:v", "ffv1", "film.mkv"]);
        clips.make(&["-i", "film.mkv", "-c:v", "libx264", "-preset", "veryfast", "-crf", "34", "encode.mp4"]);
        let late = "tpad=start=3:start_mode=clone";
        clips.make(&["-i", "encode.mp4", "-vf", late, "-c:v", "ffv1", "late.mkv"]);
        Some(clips)
    }

    fn make(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-hide_banner", "-nostdin", "-v", "error", "-y"]).args(arguments);
        finish(self.within(command)).ends(0);
    }

    fn within(&self, mut command: Command) -> Command {
        command.current_dir(self.lot.path()).env("BACKLOT_FFMPEG", &self.ffmpeg);
        command
    }

    fn compare(&self, arguments: &[&str]) -> Answer {
        let line = [&["vmaf", "compare", "film.mkv", "encode.mp4", "late.mkv"], arguments].concat();
        finish(self.within(self.lot.command(&line)))
    }

    fn up(&self) -> Service {
        let line = ["up", "--bind", "127.0.0.1:0", "--output", "json"];
        Service::start(self.within(self.lot.command(&line)))
    }
}

/// The bytes at an address.
fn bytes(url: &str, token: &str) -> Vec<u8> {
    let request = ureq::get(url).header("authorization", format!("Bearer {token}"));
    request.call().unwrap().body_mut().read_to_vec().unwrap()
}

#[test]
fn a_comparison_is_kept_with_its_scores_its_chart_and_its_worst_frames() {
    let Some(clips) = Clips::new() else { return };
    clips.compare(&["--keep"]).ends(3).complains_of(&["backlot up"]);

    let server = clips.up();
    let kept = clips.compare(&["--keep", "--output", "json"]).ends(0).json();
    let renditions = kept["comparison"]["renditions"].as_array().unwrap();
    let [encode, late] = &renditions[..] else { panic!("{kept:#}") };
    assert_eq!((&encode["path"], &late["path"]), (&"encode.mp4".into(), &"late.mkv".into()));
    assert_eq!((&encode["offset"], &late["offset"]), (&0.into(), &3.into()));
    assert_eq!(encode["scores"], late["scores"], "the same pictures, three frames later");
    assert_eq!(encode["compared"], 30);

    // What the command finds without a server is the same.
    let alone = clips.compare(&["--output", "json"]).ends(0).json();
    assert_eq!(alone["model"], kept["model"]);
    for (alone, kept) in alone["renditions"].as_array().unwrap().iter().zip(renditions) {
        assert_eq!((&alone["scores"], &alone["worst"]), (&kept["scores"], &kept["worst"]));
    }

    let run = kept["run"].as_str().unwrap();
    let token = std::fs::read_to_string(clips.lot.home().join("admin.token")).unwrap();
    let token = token.trim();
    let page = format!("{}/comparisons/{run}", server.url());
    assert_eq!(kept["page"], page.as_str());
    let (code, text) = server.get(&format!("/comparisons/{run}"), Some(token));
    assert_eq!(code, 200, "{text}");
    for shown in ["film.mkv", "encode.mp4", "late.mkv", "begins 3 frames later", "worst_1"] {
        assert!(text.contains(shown), "{shown:?} is not in {text}");
    }
    let (code, text) = server.get("/comparisons", Some(token));
    assert!(code == 200 && text.contains(run), "{code} {text}");

    let door = format!("{}/media/comparisons/{run}", server.url());
    let report: serde_json::Value = serde_json::from_slice(&bytes(&format!("{door}/report"), token)).unwrap();
    assert_eq!(
        (&report["renditions"], &report["model"]),
        (&kept["comparison"]["renditions"], &kept["model"])
    );
    let chart = String::from_utf8(bytes(&format!("{door}/pictures/chart_light"), token)).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("late.mkv"), "{chart}");
    for (place, rendition) in renditions.iter().enumerate() {
        let sheet = bytes(&format!("{door}/pictures/worst_{place}"), token);
        let side = |at: usize| u32::from_be_bytes(sheet[at..at + 4].try_into().unwrap());
        // The reference on the left; as many rows as frames that are a second apart.
        let rows = rendition["worst"].as_array().unwrap().len() as u32;
        assert_eq!((&sheet[1..4], side(16), side(20)), (&b"PNG"[..], 640, 180 * rows));
    }
    assert_eq!(server.get(&format!("/media/comparisons/{run}/pictures/worst_2"), Some(token)).0, 404);

    // Gone from the disk, it is kept all the same.
    for name in ["film.mkv", "encode.mp4", "late.mkv"] {
        std::fs::remove_file(clips.lot.path().join(name)).unwrap();
    }
    assert_eq!(server.get(&format!("/comparisons/{run}"), Some(token)).0, 200);
    assert_eq!(server.stop(), 0);
}
