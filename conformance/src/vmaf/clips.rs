//! What is scored: clips from ffmpeg's generators, and Netflix's where they are at hand.

use std::path::PathBuf;

/// The environment variable that names the folder of Netflix's clips (`Netflix/vmaf_resource`).
const CLIPS_VARIABLE: &str = "BACKLOT_VMAF_CLIPS";

/// A reference and a distorted version of it.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Its name in the table.
    pub name: String,
    /// Width and height.
    pub size: (usize, usize),
    /// ffmpeg's name of the pixel format.
    pub layout: Layout,
    /// Number of frames.
    pub frames: usize,
    /// Where it comes from.
    pub source: Source,
}

/// A pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// ffmpeg's name.
    pub name: &'static str,
    /// Whether only luma is scored: the judge gets the clip with grey chroma, we without.
    pub mono: bool,
}

/// Where a clip comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A generator of ffmpeg, and what distorts it.
    Made(&'static str, &'static str),
    /// Two raw files.
    Raw(PathBuf, PathBuf),
    /// A file, and what distorts it.
    File(PathBuf, &'static str),
}

const fn layout(name: &'static str) -> Layout {
    Layout { name, mono: false }
}

/// Generators, with the filter that distorts each.
const TEST: (&str, &str) = ("testsrc2=size=640x360:rate=25", "gblur=1.5,noise=alls=9:allf=t");
const FRACTAL: (&str, &str) = ("mandelbrot=size=640x360:rate=25", "gblur=0.7,noise=alls=5:allf=t");
const LIFE: (&str, &str) = (
    "life=size=320x180:mold=10:rate=25:ratio=0.3:seed=7:death_color=#203050:life_color=#c0a060,scale=640:360:flags=bicubic",
    "boxblur=2",
);
/// With colours: those that ffmpeg chooses by itself are others in each run, whatever the seed.
const RAMP: (&str, &str) = (
    "gradients=size=640x360:rate=25:seed=5:speed=0.05:nb_colors=2:c0=0x205080:c1=0xe0c040",
    "gblur=3,lutyuv=y=floor(val/8)*8",
);
const ZONES: (&str, &str) = ("zoneplate=size=640x360:rate=25", "unsharp=5:5:0.8");
const CELLS: (&str, &str) = ("cellauto=size=640x360:rate=25:rule=110:seed=9,gblur=1", "eq=contrast=0.8");

/// Name, size, layout, frames, generator and distortion.
type Row = (&'static str, (usize, usize), Layout, usize, (&'static str, &'static str));

/// Generated clips.
pub fn clips() -> Vec<Clip> {
    let table: &[Row] = &[
        ("one frame", (352, 288), layout("yuv420p"), 1, TEST),
        ("two frames", (352, 288), layout("yuv420p"), 2, TEST),
        ("three frames", (352, 288), layout("yuv420p"), 3, FRACTAL),
        ("forty frames", (352, 288), layout("yuv420p"), 40, TEST),
        ("test 8 bit 4:2:0", (640, 360), layout("yuv420p"), 6, TEST),
        ("test 8 bit 4:2:2", (640, 360), layout("yuv422p"), 4, TEST),
        ("test 8 bit 4:4:4", (640, 360), layout("yuv444p"), 4, TEST),
        ("test 10 bit 4:2:0", (640, 360), layout("yuv420p10le"), 5, TEST),
        ("test 10 bit 4:2:2", (640, 360), layout("yuv422p10le"), 4, TEST),
        ("test 10 bit 4:4:4", (640, 360), layout("yuv444p10le"), 4, TEST),
        ("test 12 bit 4:2:0", (640, 360), layout("yuv420p12le"), 4, TEST),
        ("test 12 bit 4:2:2", (640, 360), layout("yuv422p12le"), 3, TEST),
        ("test 12 bit 4:4:4", (640, 360), layout("yuv444p12le"), 3, TEST),
        ("test 16 bit 4:2:0", (640, 360), layout("yuv420p16le"), 4, TEST),
        ("test 16 bit 4:2:2", (640, 360), layout("yuv422p16le"), 3, TEST),
        ("test 16 bit 4:4:4", (640, 360), layout("yuv444p16le"), 3, TEST),
        ("test 8 bit 4:0:0", (640, 360), Layout { name: "yuv420p", mono: true }, 4, TEST),
        ("test 10 bit 4:0:0", (640, 360), Layout { name: "yuv420p10le", mono: true }, 4, FRACTAL),
        ("test 12 bit 4:0:0", (640, 360), Layout { name: "yuv420p12le", mono: true }, 3, FRACTAL),
        ("fractal 8 bit", (640, 360), layout("yuv420p"), 8, FRACTAL),
        ("fractal 10 bit", (640, 360), layout("yuv420p10le"), 8, FRACTAL),
        ("fractal 12 bit 4:4:4", (480, 270), layout("yuv444p12le"), 5, FRACTAL),
        ("life 8 bit", (640, 360), layout("yuv420p"), 6, LIFE),
        ("life 10 bit 4:2:2", (640, 360), layout("yuv422p10le"), 4, LIFE),
        ("ramp 8 bit", (640, 360), layout("yuv420p"), 6, RAMP),
        ("ramp 10 bit", (640, 360), layout("yuv420p10le"), 6, RAMP),
        ("ramp 8 bit 4:4:4", (480, 272), layout("yuv444p"), 4, RAMP),
        ("zones 8 bit", (640, 360), layout("yuv420p"), 4, ZONES),
        ("zones 10 bit", (480, 270), layout("yuv420p10le"), 4, ZONES),
        ("cells 8 bit", (640, 360), layout("yuv420p"), 4, CELLS),
        ("cells 12 bit", (640, 360), layout("yuv420p12le"), 4, CELLS),
        ("odd 427x241 8 bit", (427, 241), layout("yuv420p"), 5, TEST),
        ("odd 427x241 10 bit", (427, 241), layout("yuv420p10le"), 5, FRACTAL),
        ("odd 641x361 4:2:2 10 bit", (641, 361), layout("yuv422p10le"), 3, FRACTAL),
        ("odd 321x241 4:4:4 12 bit", (321, 241), layout("yuv444p12le"), 4, FRACTAL),
        ("odd 321x241 16 bit", (321, 241), layout("yuv420p16le"), 3, FRACTAL),
        ("odd width 639x360", (639, 360), layout("yuv420p"), 3, TEST),
        ("odd height 640x359", (640, 359), layout("yuv420p"), 3, TEST),
        ("narrow 240x640", (240, 640), layout("yuv420p"), 3, TEST),
        ("720p 8 bit", (1280, 720), layout("yuv420p"), 3, TEST),
        ("1080p 8 bit", (1920, 1080), layout("yuv420p"), 3, FRACTAL),
        ("1080p 10 bit", (1920, 1080), layout("yuv420p10le"), 2, TEST),
        ("small 64x48", (64, 48), layout("yuv420p"), 4, TEST),
        ("small 160x120", (160, 120), layout("yuv420p"), 4, TEST),
    ];
    let clip = |&(name, size, layout, frames, (source, distortion)): &Row| Clip {
        name: name.to_owned(),
        size,
        layout,
        frames,
        source: Source::Made(source, distortion),
    };
    table.iter().map(clip).collect()
}

/// Netflix's clips, where `BACKLOT_VMAF_CLIPS` names their folder.
pub fn given_clips() -> Vec<Clip> {
    let Some(folder) = std::env::var_os(CLIPS_VARIABLE).map(PathBuf::from) else {
        eprintln!(
            "skipped: Netflix's clips are missing; name the folder of Netflix/vmaf_resource in {CLIPS_VARIABLE}"
        );
        return Vec::new();
    };
    let raw = |name: &str, size, pixels, frames, reference: &str, distorted: &str| Clip {
        name: name.to_owned(),
        size,
        layout: layout(pixels),
        frames,
        source: Source::Raw(folder.join(reference), folder.join(distorted)),
    };
    let mut clips = vec![
        raw(
            "sparks 10 bit",
            (480, 270),
            "yuv420p10le",
            5,
            "sparks_ref_480x270.yuv42010le.yuv",
            "sparks_dis_480x270.yuv42010le.yuv",
        ),
        raw(
            "src01 10 bit",
            (576, 324),
            "yuv420p10le",
            3,
            "src01_hrc00_576x324.yuv420p10le.yuv",
            "src01_hrc01_576x324.yuv420p10le.yuv",
        ),
        raw(
            "src01 12 bit",
            (576, 324),
            "yuv420p12le",
            3,
            "src01_hrc00_576x324.yuv420p12le.yuv",
            "src01_hrc01_576x324.yuv420p12le.yuv",
        ),
        raw("archer 1080p", (1920, 1080), "yuv420p", 1, "archer_ref_frm20.yuv", "archer_dis_frm20.yuv"),
    ];
    let file = |name: &str, size, frames, path: &str, distortion| Clip {
        name: name.to_owned(),
        size,
        layout: layout("yuv420p"),
        frames,
        source: Source::File(folder.join(path), distortion),
    };
    clips.push(file(
        "park_joy, blurred",
        (480, 270),
        10,
        "park_joy_420_720p50_frm0to9_480x270.y4m",
        "gblur=1",
    ));
    clips.push(file("Seeking, noisy", (720, 480), 12, "Seeking_30_480_1050.mp4", "noise=alls=8:allf=t"));
    clips.retain(|clip| match &clip.source {
        Source::Raw(path, _) | Source::File(path, _) => path.is_file(),
        Source::Made(..) => true,
    });
    clips
}
