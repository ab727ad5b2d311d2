//! Runs of one kind as things of their own in the console: their list, and the frame of each one's page.

use std::time::Duration;

use axum::response::{IntoResponse, Redirect, Response};
use backlot_department::House;
use backlot_ledger::Timestamp;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{self, Frame, Status, format};
use backlot_work::{Error as WorkError, RunFilter, RunStatus};
use maud::{Markup, html};
use serde::Deserialize;

/// Things on one page of the list.
const PAGE: u32 = 50;

/// How often the page of a thing in the making is fetched again.
const REFRESH: Duration = Duration::from_secs(2);

/// What such runs are called.
#[derive(Debug)]
pub(crate) struct RunPages {
    /// The name of the runs.
    pub(crate) run_name: &'static str,
    /// What one is called in a sentence.
    pub(crate) thing: &'static str,
    /// The page of the list.
    pub(crate) path: &'static str,
    /// Its heading.
    pub(crate) heading: &'static str,
    /// Columns besides state and time: a thing's name, and a number.
    pub(crate) columns: [&'static str; 2],
    /// Said where there is none.
    pub(crate) none: &'static str,
    /// What to do then, and the command for it.
    pub(crate) start: (&'static str, &'static str),
}

/// Which page of the list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shift {
    before: String,
}

impl RunPages {
    /// What the ledger says of a run that is shown as one of these.
    pub(crate) fn refuse(&self, error: &WorkError) -> ApiError {
        let Self { thing, path, .. } = self;
        match error {
            WorkError::NoSuchRun(run) => ApiError::not_found(
                format!("there is no {thing} `{run}`"),
                format!("see {path} for those there are"),
            ),
            WorkError::AmbiguousRun(run) => ApiError::conflict(
                format!("`{run}` is the start of several {thing}s' ids"),
                "give more of it",
            ),
            other => ApiError::internal(other),
        }
    }

    /// The list; `row` gives the name of a run's thing and its number.
    pub(crate) async fn list(
        &self,
        house: &House,
        frame: &Frame,
        shift: Shift,
        row: impl Fn(&RunStatus) -> (&str, Markup),
    ) -> Result<Response, ApiError> {
        let before = (!shift.before.is_empty()).then_some(shift.before);
        let filter =
            RunFilter { name: Some(self.run_name.to_owned()), before, limit: PAGE, ..RunFilter::default() };
        let runs = house.work.runs(filter).await.map_err(|error| self.refuse(&error))?;
        let now = moment(house.ledger.now());
        let [name, number] = self.columns;
        let mut table = Table::new([name, "State", number, "Submitted"]).numeric(&[2]);
        for run in &runs {
            let (name, number) = row(run);
            table.push([
                html! { a href={ (self.path) "/" (path_segment(&run.id)) } { (name) } },
                widgets::chip(&Status::from_name(run.state.as_str())),
                number,
                format::time(moment(run.created), now),
            ]);
        }
        let body = html! {
            @if table.is_empty() {
                (widgets::empty(self.none, html! { (self.start.0) " " code { (self.start.1) } }))
            } @else {
                (table.render())
            }
            @if let Some(last) = runs.last().filter(|_| runs.len() == PAGE as usize) {
                (widgets::pager(None, Some(&widgets::link(self.path, &[("before", &last.id)])), ""))
            }
        };
        Ok(console::page(frame, self.heading, body).into_response())
    }

    /// The run of this id; where only its start was given, the way to the whole.
    pub(crate) async fn find(
        &self,
        house: &House,
        id: &str,
    ) -> Result<Result<RunStatus, Response>, ApiError> {
        let run = house.work.run(id).await.map_err(|error| self.refuse(&error))?;
        if run.id == id {
            return Ok(Ok(run));
        }
        Ok(Err(Redirect::to(&format!("{}/{}", self.path, run.id)).into_response()))
    }

    /// The page of one, which goes on until its run has ended.
    pub(crate) fn page(&self, frame: Frame, run: &RunStatus, name: &str, body: Markup) -> Response {
        let content = if run.state.is_final() {
            widgets::settled(self.thing, body)
        } else {
            widgets::live(self.thing, REFRESH, body)
        };
        let frame = frame.crumb(self.heading, self.path).actions(html! {
            div.actions {
                (widgets::chip(&Status::from_name(run.state.as_str())))
                a.button href={ "/runs/" (run.id) } { "Run" }
            }
        });
        console::page(&frame, name, content).into_response()
    }
}

fn moment(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}
