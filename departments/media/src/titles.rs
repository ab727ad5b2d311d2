//! Titles in the console and at the door: the report of a run that took a clip from its file to a ladder.
//!
//! A title is a run with the steps below; whoever composes the run names them so. The report is read from their outputs,
//! so it exists as far as the run has come, and there is no second copy of it.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_department::{House, Shown, blob_response};
use backlot_frames::Shot;
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{Frame, Status, format};
use backlot_web::extract::Path;
use backlot_web::{ApiError, extract::Query};
use backlot_work::{BlobRef, Error as WorkError, RunStatus, StepStatus};
use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::department::TITLES_DOOR;
use crate::encode::Codec;
use crate::kinds::{PackagedFile, Title};
use crate::package::Package;
use crate::plan::Metric;
use crate::probe::Probe;
use crate::run_pages::{RunPages, Shift};

/// The name of the runs that make titles.
const RUN_NAME: &str = "premiere";

const PAGES: RunPages = RunPages {
    run_name: RUN_NAME,
    thing: "title",
    path: "/titles",
    heading: "Titles",
    columns: ["Title", "Tasks"],
    none: "No titles yet",
    start: ("Start one with", "backlot premiere CLIP"),
};

/// What is known about a title. Parts whose step has not ended are absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The run that makes it.
    pub run: String,
    /// What the clip is called.
    pub name: String,
    /// Whether everything succeeded.
    pub complete: bool,
    /// What the clip is.
    pub probe: Option<Probe>,
    /// Its shots.
    pub shots: Vec<Shot>,
    /// A picture of each.
    pub thumbnails: Vec<BlobRef>,
    /// Trials, ladder, savings.
    pub title: Option<Title>,
    /// The charts, by name: `x264`, `x264_light`, `x264_dark`, `x264_light_narrow`, …
    pub figures: Vec<(String, BlobRef)>,
    /// The package.
    pub package: Option<Package>,
    /// Its files.
    pub files: Vec<PackagedFile>,
}

/// Reads the report of a run.
///
/// # Errors
/// No such run, or a ledger that cannot be read.
pub async fn report(house: &House, run: &RunStatus) -> Result<Report, WorkError> {
    let steps = house.work.steps(&run.id).await?;
    let done = |name: &str| {
        steps.iter().any(|step| step.name == name && step.state == backlot_work::StepState::Succeeded)
    };
    let outputs = async |step: &str| -> Result<Value, WorkError> {
        if done(step) { house.work.outputs(&run.id, step).await } else { Ok(Value::Null) }
    };
    let probe = outputs("probe").await?;
    let shots = outputs("shots").await?;
    let thumbnails = outputs("thumbnails").await?;
    let title = outputs("title").await?;
    let figures = outputs("figures").await?;
    let package = outputs("package").await?;
    let named = run.params.get("name").and_then(Value::as_str);
    let pictures = thumbnails.as_array().into_iter().flatten();
    let figures = figures.as_object().into_iter().flatten();
    Ok(Report {
        run: run.id.clone(),
        name: named.unwrap_or(&run.name).to_owned(),
        complete: run.state == backlot_work::RunState::Succeeded,
        probe: part(&probe["probe"]),
        shots: part(&shots["shots"]).unwrap_or_default(),
        thumbnails: pictures.filter_map(|outputs| BlobRef::from_value(&outputs["picture"])).collect(),
        title: part(&title["title"]),
        figures: figures
            .filter_map(|(name, blob)| Some((name.clone(), BlobRef::from_value(blob)?)))
            .collect(),
        package: part(&package["package"]),
        files: part(&package["files"]).unwrap_or_default(),
    })
}

fn part<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

pub(crate) fn door(house: House) -> Router {
    Router::new()
        .route("/{run}/report", get(report_json))
        .route("/{run}/files/{*path}", get(file))
        .route("/{run}/figures/{name}", get(figure))
        .route("/{run}/thumbnails/{index}", get(thumbnail))
        .with_state(house)
}

pub(crate) fn pages(house: House) -> Router {
    Router::new().route("/", get(list_page)).route("/{run}", get(title_page)).with_state(house)
}

async fn find(house: &House, run: &str) -> Result<Report, ApiError> {
    let run = house.work.run(run).await.map_err(|error| refuse(&error))?;
    report(house, &run).await.map_err(|error| refuse(&error))
}

fn refuse(error: &WorkError) -> ApiError {
    PAGES.refuse(error)
}

async fn report_json(State(house): State<House>, Path(run): Path<String>) -> Result<Response, ApiError> {
    Ok(axum::Json(find(&house, &run).await?).into_response())
}

async fn file(
    State(house): State<House>,
    Path((run, path)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let report = find(&house, &run).await?;
    let found = report.files.iter().find(|file| file.path == path);
    let found = found.ok_or_else(|| {
        ApiError::not_found(
            format!("the title has no file `{path}`"),
            "start from master.m3u8, and wait for the run's end",
        )
    })?;
    blob_response(&house.store, &found.file, &path, &request, Shown::InPlace).await
}

async fn figure(
    State(house): State<House>,
    Path((run, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let report = find(&house, &run).await?;
    let found = report.figures.iter().find(|(known, _)| *known == name);
    let (name, blob) = found
        .ok_or_else(|| ApiError::not_found(format!("the title has no figure `{name}`"), "see its report"))?;
    blob_response(&house.store, blob, name, &request, Shown::InPlace).await
}

async fn thumbnail(
    State(house): State<House>,
    Path((run, index)): Path<(String, usize)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let report = find(&house, &run).await?;
    let found = report.thumbnails.get(index);
    let blob = found
        .ok_or_else(|| ApiError::not_found(format!("the title has no shot {index}"), "see its report"))?;
    blob_response(&house.store, blob, "thumbnail.jpg", &request, Shown::InPlace).await
}

async fn list_page(
    State(house): State<House>,
    frame: Frame,
    Query(shift): Query<Shift>,
) -> Result<Response, ApiError> {
    PAGES.list(&house, &frame, shift, listed).await
}

/// Its name and how many of its tasks are done.
fn listed(run: &RunStatus) -> (&str, Markup) {
    let name = run.params.get("name").and_then(Value::as_str).unwrap_or(&run.name);
    let count = |tasks: i64| format::number(tasks.max(0) as u64);
    (name, html! { (count(run.tasks.succeeded)) " of " (count(run.tasks.total)) })
}

async fn title_page(
    State(house): State<House>,
    frame: Frame,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let run = match PAGES.find(&house, &id).await? {
        Ok(run) => run,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let steps = house.work.steps(&run.id).await.map_err(|error| refuse(&error))?;
    let report = report(&house, &run).await.map_err(|error| refuse(&error))?;
    Ok(PAGES.page(frame, &run, &report.name, title_body(&run, &steps, &report)))
}

fn title_body(run: &RunStatus, steps: &[StepStatus], report: &Report) -> Markup {
    let door = format!("{TITLES_DOOR}/{}", path_segment(&run.id));
    html! {
        @if let Some(error) = &run.error { p.alert role="alert" { (error) } }
        (facts(report))
        @if report.package.is_some() { (player(&door, report)) }
        @if let Some(title) = &report.title {
            (widgets::section("Ladder", ladder(&door, report, title)))
            @for codec in Codec::ALL.map(Codec::name) {
                @if report.figures.iter().any(|(name, _)| name == codec) {
                    (chart(&door, codec))
                }
            }
            @for saving in &title.savings {
                @if !saving.rows.is_empty() {
                    (widgets::section(&format!("{} against the fixed ladder", codec_name(saving.codec)), saved(saving, title.metric)))
                }
            }
        }
        @if !report.shots.is_empty() { (widgets::section("Shots", shots(&door, report))) }
        (widgets::section("Scenes", scenes(&run.id, steps)))
        p.note { a href={ (door) "/report" } { "Report as JSON" } }
    }
}

fn facts(report: &Report) -> Markup {
    let Some(probe) = &report.probe else { return html! {} };
    let mut stats = vec![
        widgets::stat(
            "Picture",
            &probe.size.to_string(),
            &format!("{}, {} bit", probe.pixel_format, probe.bit_depth),
        ),
        widgets::stat(
            "Duration",
            &format!("{:.2} s", probe.duration),
            &format!("{} frames at {:.3} per second", probe.frames, probe.rate.per_second()),
        ),
        widgets::stat("Shots", &format::number(report.shots.len() as u64), sound(probe)),
    ];
    if let Some(title) = &report.title {
        stats.push(widgets::stat(
            "Trial encodes",
            &format::number(title.points.len() as u64),
            &format!("{} rungs chosen", title.ladder.len()),
        ));
        for saving in &title.savings {
            if let Some(mean) = saving.mean {
                let name = format!("{} bits against the fixed ladder", codec_name(saving.codec));
                let measure = title.model.as_deref().unwrap_or_else(|| title.metric.name());
                let note = format!("mean at equal {measure}");
                stats.push(widgets::stat(&name, &format!("{:+.1} %", mean * 100.0), &note));
            }
        }
        for per_shot in &title.per_shot {
            if let Some(bd_rate) = per_shot.bd_rate {
                let name = format!("{} BD-rate, shot by shot", codec_name(per_shot.codec));
                let note = "against the best of one CRF for all shots, as far as it was tried";
                stats.push(widgets::stat(&name, &format!("{:+.1} %", bd_rate * 100.0), note));
            }
        }
    }
    widgets::stats(stats)
}

fn sound(probe: &Probe) -> &'static str {
    if probe.audio.is_empty() { "without sound" } else { "with sound" }
}

fn player(door: &str, report: &Report) -> Markup {
    let Some(package) = &report.package else { return html! {} };
    // The best H.264 rung: what every browser plays without help.
    let first =
        package.rungs.iter().rev().find(|rung| rung.codec.starts_with("avc1")).or(package.rungs.last());
    let Some(first) = first else { return html! {} };
    html! {
        section.player {
            video controls preload="metadata" src={ (door) "/files/" (first.file.display()) } aria-label={ (report.name) ", rung " (first.name) } {}
            p.note { "Playing " (first.name) ". For players: " a href={ (door) "/files/" (package.master.display()) } { "master.m3u8" } ", " (package.segments) " segments in every rung." }
        }
    }
}

fn ladder(door: &str, report: &Report, title: &Title) -> Markup {
    let mut table = Table::new(["Rung", "Codec", "Size", "CRF", "kbit/s", "VMAF", "PSNR dB", "SSIM", "File"])
        .numeric(&[3, 4, 5, 6, 7]);
    for rung in &title.ladder {
        let packaged = report
            .package
            .iter()
            .flat_map(|package| &package.rungs)
            .find(|packaged| packaged.name == rung.name);
        table.push([
            html! { (rung.name) },
            html! { (packaged.map_or(codec_name(rung.codec), |packaged| packaged.codec.as_str())) },
            html! { (rung.size) },
            html! { (crfs(&rung.crfs)) },
            html! { (format!("{:.0}", rung.rate / 1000.0)) },
            html! { @if let Some(vmaf) = rung.vmaf { (format!("{vmaf:.2}")) } @else { "–" } },
            html! { (format!("{:.2}", rung.psnr)) },
            html! { (format!("{:.4}", rung.ssim)) },
            html! {
                @if let Some(packaged) = packaged { a href={ (door) "/files/" (packaged.file.display()) } { "MP4" } }
                @else { "–" }
            },
        ]);
    }
    table.render()
}

/// The rate factors of a rung's shots: one, or from the least to the largest.
fn crfs(crfs: &[u32]) -> String {
    match (crfs.iter().min(), crfs.iter().max()) {
        (Some(low), Some(high)) if low < high => format!("{low}–{high}"),
        (Some(crf), _) => crf.to_string(),
        (None, _) => String::new(),
    }
}

fn chart(door: &str, codec: &str) -> Markup {
    html! {
        figure.chart {
            picture {
                source media="(prefers-color-scheme: dark) and (max-width: 600px)" srcset={ (door) "/figures/" (codec) "_dark_narrow" } width="440" height="440";
                source media="(prefers-color-scheme: dark)" srcset={ (door) "/figures/" (codec) "_dark" };
                source media="(max-width: 600px)" srcset={ (door) "/figures/" (codec) "_light_narrow" } width="440" height="440";
                img src={ (door) "/figures/" (codec) "_light" } width="900" height="480" alt={ "Rate and quality of all " (codec) " trial encodes, their convex hull and the chosen rungs" };
            }
        }
    }
}

fn saved(saving: &crate::kinds::CodecSaving, metric: Metric) -> Markup {
    let mut table = Table::new(["Size", "Fixed kbit/s", metric.title(), "This title kbit/s", "Difference"])
        .numeric(&[1, 2, 3, 4]);
    for row in &saving.rows {
        table.push([
            html! { (row.size) },
            html! { (format!("{:.0}", row.rate / 1000.0)) },
            html! { (format!("{:.2}", row.quality)) },
            html! { @if let Some(rate) = row.hull_rate { (format!("{:.0}", rate / 1000.0)) } @else { "–" } },
            html! { @if let Some(rate) = row.hull_rate { (format!("{:+.1} %", (rate / row.rate - 1.0) * 100.0)) } @else { "beyond the curve" } },
        ]);
    }
    table.render()
}

fn shots(door: &str, report: &Report) -> Markup {
    let rate = report.probe.as_ref().map(|probe| probe.rate);
    let at = |frame: u64| rate.map_or(0.0, |rate| rate.seconds(frame));
    html! {
        div.strip {
            @for (index, shot) in report.shots.iter().enumerate() {
                figure {
                    @if index < report.thumbnails.len() {
                        img src={ (door) "/thumbnails/" (index) } alt={ "Middle of shot " (index + 1) } loading="lazy";
                    }
                    figcaption { (index + 1) " · " (format!("{:.2}–{:.2} s", at(shot.start), at(shot.end))) " · " (shot.frames()) " frames" }
                }
            }
        }
    }
}

fn scenes(run: &str, steps: &[StepStatus]) -> Markup {
    let mut table = Table::new(["Scene", "State", "Tasks", "Took"]).numeric(&[2]);
    for step in steps {
        let all_cached = step.tasks.total > 0 && step.tasks.cached == step.tasks.total;
        let status = if all_cached { Status::Cached } else { Status::from_name(step.state.as_str()) };
        let took =
            step.started.zip(step.finished).map(|(started, finished)| finished.saturating_since(started));
        table.push([
            html! { a href={ "/runs/" (path_segment(run)) "/steps/" (path_segment(&step.name)) } { (step.name) } },
            widgets::chip(&status),
            html! { (step.tasks.succeeded) " of " (step.tasks.total) },
            html! { @if let Some(took) = took { (format::duration(took)) } @else { "–" } },
        ]);
    }
    table.render()
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::X264 => "H.264",
        Codec::X265 => "H.265",
        Codec::SvtAv1 => "AV1",
    }
}
