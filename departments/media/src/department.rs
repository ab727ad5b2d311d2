//! The department media, as the house sees it.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_archer::native::Natives;
use backlot_department::{
    Access, Check, CommandContext, CommandError, Department, Door, Finding, House, Install, Kind, Need, Page,
};
use backlot_web::console::Icon;
use serde_json::{Value, json};

use crate::Error;
use crate::archer::Decoder;
use crate::commands;
use crate::comparisons;
use crate::ffmpeg::FfmpegSearch;
use crate::kinds::{self, Tools};
use crate::titles;

/// Where titles are handed out; links between pages and files use it.
pub(crate) const TITLES_DOOR: &str = "/media/titles";
/// Where kept comparisons are handed out.
pub(crate) const COMPARISONS_DOOR: &str = "/media/comparisons";

const ACCESS: Access = Access::ReadWrite { read: "runs:read", write: "runs:write" };

/// The department.
pub struct Media {
    tools: Tools,
}

impl Default for Media {
    /// The department with the ffmpeg of this process's environment.
    fn default() -> Self {
        Self { tools: Tools::new(FfmpegSearch::from_env()) }
    }
}

impl Media {
    /// Who decodes for Archer.
    fn decoder(&self) -> Arc<dyn backlot_archer::media::Media> {
        Arc::new(Decoder(self.tools.clone()))
    }
}

#[async_trait]
impl Department for Media {
    fn name(&self) -> &'static str {
        "media"
    }

    fn summary(&self) -> &'static str {
        "From a clip to a ladder: shots, trial encodes, quality, convex hull, CMAF and HLS"
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        let mut kinds = kinds::all(&self.tools);
        kinds.extend(backlot_archer::durable::shipped_kinds(self.decoder()));
        kinds
    }

    fn doors(&self, house: &House) -> Vec<Door> {
        vec![
            Door::http("titles", TITLES_DOOR, titles::door(house.clone()))
                .access(ACCESS)
                .client("HLS players: Safari, hls.js, ffplay", "the address of master.m3u8"),
            Door::http("comparisons", COMPARISONS_DOOR, comparisons::door(house.clone())).access(ACCESS),
        ]
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        vec![
            Page::new("Titles", "/titles", Icon::Film, titles::pages(house.clone())).access(ACCESS),
            Page::new("Comparisons", "/comparisons", Icon::Chart, comparisons::pages(house.clone()))
                .access(ACCESS),
        ]
    }

    fn openapi(&self) -> Value {
        json!({
            "tags": [{ "name": "media", "description": "Titles made by the department media" }],
            "paths": {
                "/media/titles/{run}/files/{path}": {
                    "get": {
                        "tags": ["media"],
                        "summary": "A file of a title's package, such as master.m3u8",
                        "parameters": [
                            { "name": "run", "in": "path", "required": true, "schema": { "type": "string" } },
                            { "name": "path", "in": "path", "required": true, "schema": { "type": "string" } }
                        ],
                        "responses": {
                            "200": { "description": "The file" },
                            "206": { "description": "The range asked for" },
                            "404": { "description": "No such title or file" }
                        }
                    }
                },
                "/media/comparisons/{run}/report": {
                    "get": {
                        "tags": ["media"],
                        "summary": "A comparison that was kept: each rendition's scores by frame, its offset, its worst frames",
                        "parameters": [
                            { "name": "run", "in": "path", "required": true, "schema": { "type": "string" } }
                        ],
                        "responses": {
                            "200": { "description": "The comparison", "content": { "application/json": {} } },
                            "404": { "description": "No such comparison, or one that has not ended" }
                        }
                    }
                },
                "/media/titles/{run}/report": {
                    "get": {
                        "tags": ["media"],
                        "summary": "What is known about a title: probe, shots, trials, ladder, savings",
                        "parameters": [
                            { "name": "run", "in": "path", "required": true, "schema": { "type": "string" } }
                        ],
                        "responses": {
                            "200": { "description": "The report", "content": { "application/json": {} } },
                            "404": { "description": "No such title" }
                        }
                    }
                }
            }
        })
    }

    fn commands(&self) -> Vec<clap::Command> {
        let mut all = commands::all();
        all.push(backlot_archer::command::command());
        all
    }

    async fn run_command(
        &self,
        name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        match name {
            "archer" => {
                backlot_archer::command::run(matches, context, self.decoder(), Natives::shipped()).await
            }
            _ => commands::run(name, matches, context, &self.tools).await,
        }
    }

    fn checks(&self) -> Vec<Check> {
        let pip = Install::Pip(vec!["imageio-ffmpeg==0.8.1".to_owned()]);
        let apt = Install::Apt(vec!["ffmpeg".to_owned()]);
        let (for_program, for_av1) = (self.tools.clone(), self.tools.clone());
        vec![
            Check::new("ffmpeg", "decodes and encodes video", Need::Required, move || {
                let tools = for_program.clone();
                async move {
                    match tools
                        .ffmpeg()
                        .await
                        .and_then(|ffmpeg| ffmpeg.require_encoder("libx264").map(|()| ffmpeg))
                    {
                        Ok(ffmpeg) => {
                            Finding::Found(format!("{} at {}", ffmpeg.version(), ffmpeg.path().display()))
                        }
                        Err(Error::FfmpegMissing { .. }) => Finding::Missing,
                        Err(error) => Finding::Unusable(error.to_string()),
                    }
                }
            })
            .install(apt.clone())
            .install(pip.clone()),
            Check::program(
                "bwrap",
                &["--version"],
                "runs Archer's functions in a root file system of their own",
                Need::Optional,
            )
            .install(Install::Apt(vec!["bubblewrap".to_owned()])),
            Check::new("SVT-AV1 in ffmpeg", "encodes AV1", Need::Optional, move || {
                let tools = for_av1.clone();
                async move {
                    match tools.ffmpeg().await.map(|ffmpeg| ffmpeg.has_encoder("libsvtav1")) {
                        Ok(true) => Finding::Found("libsvtav1".to_owned()),
                        Ok(false) | Err(_) => Finding::Missing,
                    }
                }
            })
            .install(pip)
            .install(apt),
        ]
    }
}
