//! Comparisons that were kept: `backlot vmaf compare --keep` hands the files to a run, and its page in the console shows what
//! came of it, from the run's outputs alone.

use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_department::{CommandContext, CommandError, House, Shown, blob_response};
use backlot_frames::Rate;
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{Frame, format};
use backlot_web::extract::Path;
use backlot_web::{ApiError, extract::Query};
use backlot_work::{BlobRef, Error as WorkError, RunState, RunStatus, StepState, SubmitOptions};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::compare::{Comparison, Rendition, Score};
use crate::department::COMPARISONS_DOOR;
use crate::kinds::compare::{NamedClip, RUN_NAME, spec};
use crate::run_pages::{RunPages, Shift};

/// The step that compares.
const STEP: &str = "compare";

const PAGES: RunPages = RunPages {
    run_name: RUN_NAME,
    thing: "comparison",
    path: "/comparisons",
    heading: "Comparisons",
    columns: ["Reference", "Renditions"],
    none: "No comparisons yet",
    start: ("Keep one with", "backlot vmaf compare --keep REFERENCE RENDITION"),
};

/// What was found, with the names of the pictures that go with it.
#[derive(Clone, Debug, Serialize)]
struct Kept {
    /// The version of the model of VMAF, where one was at hand.
    model: Option<String>,
    #[serde(flatten)]
    comparison: Comparison,
    /// Charts and worst frames, by the names of the step's outputs.
    #[serde(skip)]
    pictures: Vec<(String, BlobRef)>,
}

/// Reads what a run found; nothing while it has not ended.
async fn kept(house: &House, run: &RunStatus) -> Result<Option<Kept>, WorkError> {
    let steps = house.work.steps(&run.id).await?;
    if !steps.iter().any(|step| step.name == STEP && step.state == StepState::Succeeded) {
        return Ok(None);
    }
    let outputs = house.work.outputs(&run.id, STEP).await?;
    let Ok(comparison) = Comparison::deserialize(&outputs["comparison"]) else { return Ok(None) };
    let pictures = outputs.as_object().into_iter().flatten();
    Ok(Some(Kept {
        model: outputs["model"].as_str().map(str::to_owned),
        comparison,
        pictures: pictures
            .filter_map(|(name, value)| Some((name.clone(), BlobRef::from_value(value)?)))
            .collect(),
    }))
}

/// What `--keep` hands over.
pub(crate) struct Asked<'a> {
    pub(crate) reference: &'a FilePath,
    pub(crate) renditions: &'a [&'a PathBuf],
    pub(crate) model: &'a str,
    pub(crate) max_offset: usize,
    pub(crate) fps: Option<Rate>,
}

/// Has the server compare, and prints the scores and the page's address.
pub(crate) async fn keep(context: &CommandContext, asked: &Asked<'_>) -> Result<ExitCode, CommandError> {
    let url = context.require_server()?.url.clone();
    if asked.model.starts_with("path=") {
        return Err(CommandError::usage(
            "a comparison that is kept takes a model by its version",
            "put the file in a folder of BACKLOT_VMAF_MODELS and give its version",
        ));
    }
    let house = context.open_house().await?;
    let failed = |error: WorkError| CommandError::failed(error.to_string(), "see `backlot doctor`");
    let mut renditions = Vec::with_capacity(asked.renditions.len());
    for path in asked.renditions {
        renditions.push(stored(&house, path).await?);
    }
    let params = json!({
        "reference": stored(&house, asked.reference).await?,
        "renditions": renditions,
        "model": asked.model,
        "max_offset": asked.max_offset,
        "fps": asked.fps,
    });
    let params: Map<String, Value> = params.as_object().cloned().unwrap_or_default();
    let options = SubmitOptions { by: "compare".to_owned(), ..SubmitOptions::default() };
    let run = house.work.submit(spec(), params, options, Some(&house.kinds)).await.map_err(failed)?;
    let status = house.work.wait(&run).await.map_err(failed)?;
    let found =
        if status.state == RunState::Succeeded { kept(&house, &status).await.map_err(failed)? } else { None };
    let Some(found) = found else {
        let told = status.error.unwrap_or_else(|| format!("the comparison was {}", status.state));
        return Err(CommandError::failed(told, format!("see `backlot logs {run}`")));
    };
    let page = format!("{}/comparisons/{run}", url.trim_end_matches('/'));
    let printed = json!({ "run": run, "page": page, "model": found.model, "comparison": found.comparison });
    context.print(&printed, |_| {
        let mut text = String::new();
        for rendition in &found.comparison.renditions {
            text += &format!("{}: {}\n", rendition.clip.path.display(), in_words(rendition));
        }
        text + &format!("kept: {page}\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn stored(house: &House, path: &FilePath) -> Result<NamedClip, CommandError> {
    let failed =
        |error: &dyn std::fmt::Display| CommandError::failed(error.to_string(), "see `backlot doctor`");
    let blob = house.store.put_file(path).await.map_err(|error| failed(&error))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let file = BlobRef { digest: blob.digest, size: blob.size, media_type: "video/mp4".to_owned() };
    Ok(NamedClip { file, name })
}

/// The first scores of a rendition in a line.
fn in_words(rendition: &Rendition) -> String {
    let scores = rendition.scores.iter().map(|score| format!("{} {:.3}", score.name, score.mean));
    let scores: Vec<String> = scores.take(2).collect();
    format!("{}, {} frames, offset {:+}", scores.join(", "), rendition.compared, rendition.offset)
}

pub(crate) fn door(house: House) -> Router {
    Router::new()
        .route("/{run}/report", get(report_json))
        .route("/{run}/pictures/{name}", get(picture))
        .with_state(house)
}

pub(crate) fn pages(house: House) -> Router {
    Router::new().route("/", get(list_page)).route("/{run}", get(comparison_page)).with_state(house)
}

fn refuse(error: &WorkError) -> ApiError {
    PAGES.refuse(error)
}

async fn find(house: &House, run: &str) -> Result<Kept, ApiError> {
    let run = house.work.run(run).await.map_err(|error| refuse(&error))?;
    let found = kept(house, &run).await.map_err(|error| refuse(&error))?;
    found.ok_or_else(|| {
        ApiError::not_found(format!("the run `{}` has compared nothing yet", run.id), "wait for its end")
    })
}

async fn report_json(State(house): State<House>, Path(run): Path<String>) -> Result<Response, ApiError> {
    Ok(axum::Json(find(&house, &run).await?).into_response())
}

async fn picture(
    State(house): State<House>,
    Path((run, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let found = find(&house, &run).await?;
    let blob = found.pictures.iter().find(|(known, _)| *known == name);
    let (name, blob) = blob.ok_or_else(|| {
        ApiError::not_found(
            format!("the comparison has no picture `{name}`"),
            "see its page for those there are",
        )
    })?;
    blob_response(&house.store, blob, name, &request, Shown::InPlace).await
}

async fn list_page(
    State(house): State<House>,
    frame: Frame,
    Query(shift): Query<Shift>,
) -> Result<Response, ApiError> {
    PAGES.list(&house, &frame, shift, listed).await
}

/// Its name and the number of its renditions.
fn listed(run: &RunStatus) -> (&str, Markup) {
    let renditions = run.params.get("renditions").and_then(Value::as_array).map_or(0, Vec::len);
    (reference_of(run), html! { (renditions) })
}

/// What a run compares with, as its user calls it.
fn reference_of(run: &RunStatus) -> &str {
    let given = run.params.get("reference").and_then(|reference| reference.get("name"));
    given.and_then(Value::as_str).unwrap_or(&run.name)
}

async fn comparison_page(
    State(house): State<House>,
    frame: Frame,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let run = match PAGES.find(&house, &id).await? {
        Ok(run) => run,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let found = kept(&house, &run).await.map_err(|error| refuse(&error))?;
    let body = html! {
        @if let Some(error) = &run.error { p.alert role="alert" { (error) } }
        @match &found {
            Some(found) => (comparison_body(&run.id, found)),
            None if run.state.is_final() => (widgets::empty("Nothing was compared", html! { "The run's log tells why" })),
            None => (widgets::empty("At work", html! { "The scores appear when all frames are compared" })),
        }
    };
    Ok(PAGES.page(frame, &run, reference_of(&run), body))
}

fn comparison_body(run: &str, found: &Kept) -> Markup {
    let door = format!("{COMPARISONS_DOOR}/{}/pictures", path_segment(run));
    let Comparison { reference, renditions } = &found.comparison;
    let measured = found.model.as_deref().unwrap_or("PSNR and SSIM");
    html! {
        (widgets::stats([
            widgets::stat("Picture", &reference.size.to_string(), &reference.pixel_format),
            widgets::stat("Frames", &format::number(reference.frames), &format!("at {:.3} per second", reference.rate.per_second())),
            widgets::stat("Measured with", measured, "by frame, aligned to the reference"),
        ]))
        (widgets::section("Renditions", scores(renditions)))
        (chart(&door))
        @for (place, rendition) in renditions.iter().enumerate() {
            (widgets::section(&name_of(rendition), details(&door, place, rendition)))
        }
        p.note { a href={ (COMPARISONS_DOOR) "/" (path_segment(run)) "/report" } { "Scores of all frames as JSON" } }
    }
}

fn name_of(rendition: &Rendition) -> String {
    rendition.clip.path.display().to_string()
}

fn scores(renditions: &[Rendition]) -> Markup {
    let mut table =
        Table::new(["Rendition", "Size", "VMAF", "5 %", "Least", "PSNR-Y dB", "SSIM", "Frames", "Offset"])
            .numeric(&[2, 3, 4, 5, 6, 7, 8]);
    for rendition in renditions {
        let number = |name: &str, of: fn(&Score) -> f64, decimals: usize| {
            let score = rendition.score(name);
            html! { (score.map_or_else(|| "–".to_owned(), |score| format!("{:.decimals$}", of(score)))) }
        };
        table.push([
            html! { (name_of(rendition)) },
            html! { (rendition.clip.size) },
            number("vmaf", |score| score.mean, 3),
            number("vmaf", |score| score.percentile_5, 3),
            number("vmaf", |score| score.min, 3),
            number("psnr_y", |score| score.mean, 3),
            number("ssim_all", |score| score.mean, 5),
            html! { (format::number(rendition.compared)) },
            html! { (format!("{:+}", rendition.offset)) },
        ]);
    }
    table.render()
}

fn chart(door: &str) -> Markup {
    html! {
        figure.chart {
            picture {
                source media="(prefers-color-scheme: dark) and (max-width: 600px)" srcset={ (door) "/chart_dark_narrow" } width="440" height="440";
                source media="(prefers-color-scheme: dark)" srcset={ (door) "/chart_dark" };
                source media="(max-width: 600px)" srcset={ (door) "/chart_light_narrow" } width="440" height="440";
                img src={ (door) "/chart_light" } width="900" height="460" alt="The score of every frame, a line for each rendition";
            }
        }
    }
}

fn details(door: &str, place: usize, rendition: &Rendition) -> Markup {
    let first = rendition.scores.first();
    let told: Vec<String> = rendition
        .worst
        .iter()
        .map(|&frame| {
            let index = frame.saturating_sub(rendition.first_frame) as usize;
            match first.and_then(|score| score.frames.get(index)) {
                Some(score) => format!("{frame} ({score:.2})"),
                None => frame.to_string(),
            }
        })
        .collect();
    html! {
        @if !rendition.notes.is_empty() {
            ul { @for note in &rendition.notes { li { (note) } } }
        }
        figure.chart {
            a href={ (door) "/worst_" (place) } {
                img src={ (door) "/worst_" (place) } loading="lazy" alt={ "The worst frames of " (name_of(rendition)) " beside the reference's" };
            }
        }
        p.note { "Worst frames, the reference on the left: " (told.join(", ")) }
    }
}
