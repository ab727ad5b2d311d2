//! The package in a real browser: Chromium plays the master playlist by itself, and each rung through Media Source
//! Extensions, and tells what it decoded.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use backlot_media::encode::Codec;
use tokio::sync::mpsc;

use crate::{
    chain::{Made, run_chain, short_title},
    outside,
};

/// Plays what the query names and reports once: at the end, or on an error.
const PAGE: &str = r#"<!doctype html><video id=v muted autoplay playsinline></video><script>
const video = document.getElementById('v'), query = new URLSearchParams(location.search);
let done = false, trouble = [];
const report = (how) => {
  if (done) return;
  done = true;
  const quality = video.getVideoPlaybackQuality();
  fetch('/report', {method: 'POST', body: JSON.stringify({
    how, time: video.currentTime, duration: video.duration, width: video.videoWidth, height: video.videoHeight,
    frames: quality.totalVideoFrames, corrupted: quality.corruptedVideoFrames,
    trouble: trouble.concat(video.error ? [video.error.message] : [])})});
};
video.addEventListener('ended', () => report('ended'));
video.addEventListener('error', () => report('error'));
window.addEventListener('unhandledrejection', (event) => { trouble.push(String(event.reason)); report('rejected'); });
const append = async (source, buffer, urls) => {
  for (const url of urls) {
    const data = await (await fetch(url)).arrayBuffer();
    await new Promise((resolve, reject) => {
      buffer.addEventListener('updateend', resolve, {once: true});
      buffer.addEventListener('error', () => reject('append ' + url), {once: true});
      buffer.appendBuffer(data);
    });
  }
};
const urlsOf = async (playlist) => {
  const lines = (await (await fetch(playlist)).text()).split('\n').map(line => line.trim());
  const base = playlist.slice(0, playlist.lastIndexOf('/') + 1);
  const init = lines.find(line => line.startsWith('#EXT-X-MAP')).match(/URI="(.*)"/)[1];
  return [init, ...lines.filter(line => line && !line.startsWith('#'))].map(name => base + name);
};
if (query.get('master')) {
  video.src = query.get('master');
} else {
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  source.addEventListener('sourceopen', async () => {
    const tracks = [[query.get('video'), 'video/mp4; codecs="' + query.get('codec') + '"'],
                    [query.get('audio'), 'audio/mp4; codecs="mp4a.40.2"']];
    const buffers = tracks.map(([, type]) => source.addSourceBuffer(type));
    await Promise.all(tracks.map(async ([playlist], index) => append(source, buffers[index], await urlsOf(playlist))));
    trouble.push('buffered ' + buffers.map(buffer => buffer.buffered.start(0).toFixed(3) + '-' + buffer.buffered.end(0).toFixed(3)).join(' '));
    source.endOfStream();
  });
}
</script>"#;

struct Site {
    root: PathBuf,
    reports: mpsc::UnboundedSender<serde_json::Value>,
}

async fn file(State(site): State<Arc<Site>>, UrlPath(name): UrlPath<String>) -> Response {
    let media_type = match name.rsplit('.').next() {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        _ => "video/mp4",
    };
    match std::fs::read(site.root.join(&name)) {
        Ok(data) => ([(header::CONTENT_TYPE, media_type)], data).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn take_report(State(site): State<Arc<Site>>, body: Bytes) -> StatusCode {
    let _ = site.reports.send(serde_json::from_slice(&body).unwrap());
    StatusCode::NO_CONTENT
}

/// Kills the browser when the test is over.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open(chromium: &Path, profile: &Path, url: &str) -> Browser {
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-dev-shm-usage",
    ];
    let child = Command::new(chromium)
        .args(flags)
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Browser(child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_plays_the_package() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let Some(chromium) = outside::program(
        &["chromium", "chromium-browser", "google-chrome"],
        "install it with `apt-get install chromium`",
    ) else {
        return;
    };
    let (reports, mut reported) = mpsc::unbounded_channel();
    let work = tempfile::tempdir().unwrap();
    let site = Arc::new(Site { root: work.path().to_owned(), reports });
    let app = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/report", post(take_report))
        .route("/files/{*name}", get(file))
        .with_state(site);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    for codec in [Codec::X264, Codec::SvtAv1] {
        if !ffmpeg.has_encoder(codec.encoder()) {
            outside::skipped(codec.encoder(), "install a full ffmpeg with `pip install imageio-ffmpeg`");
            continue;
        }
        let name = codec.encoder();
        let dir = work.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let clip = dir.join("clip.mp4");
        if short_title(&ffmpeg, &clip).is_none() {
            return;
        }
        let Made { package, sizes, .. } = run_chain(&ffmpeg, &clip, &dir, codec).await;
        let files = format!("/files/{name}/title");
        let top = package.rungs.len() - 1;
        let query = [
            format!("?master={files}/master.m3u8"),
            format!(
                "?codec={}&video={files}/{}&audio={files}/audio/media.m3u8",
                package.rungs[top].codec,
                package.rungs[top].playlist.display()
            ),
        ];
        for (number, query) in query.iter().enumerate() {
            let profile = dir.join(format!("profile-{number}"));
            let browser = open(&chromium, &profile, &format!("http://{address}/{query}"));
            let report = tokio::time::timeout(Duration::from_secs(90), reported.recv()).await;
            let report = report.unwrap_or_else(|_| panic!("no report for {query}")).unwrap();
            drop(browser);
            println!("{name} {query}: {report}");
            let value = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
            assert_eq!(report["how"], "ended", "{report}");
            assert!((value("duration") - 4.4).abs() < 0.05 && value("time") > 4.3, "{report}");
            let shown = (value("width") as u32, value("height") as u32);
            assert!(sizes.iter().any(|size| (size.width, size.height) == shown), "{report}");
            assert_eq!(value("corrupted"), 0.0, "{report}");
            if number == 1 {
                assert_eq!(shown, (sizes[top].width, sizes[top].height));
                assert_eq!(value("frames"), 110.0, "{report}");
            } else {
                // A switch of rungs may decode some frames twice.
                assert!(value("frames") >= 105.0, "{report}");
            }
        }
    }
}
