//! A graph: what is asked for, what comes of it, and that in each format.

mod figure;
mod request;
mod step;
mod text;
mod v2;

pub use figure::{colors, figure};
pub use request::{Defaults, Format, Request, ScaleKind, percent_decoded};
pub use step::{MOST_POINTS, round_up, window};

use backlot_series::{Grid, Tags};

use crate::time::duration_text;
use crate::{Database, Error, Styled, evaluate};

/// Most lines of a graph: beyond, nobody can tell them apart, and the answer only costs.
pub const MOST_LINES: usize = 10_000;

/// A line of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What the legend calls it.
    pub legend: String,
    /// Its tags, `atlas.offset` with them.
    pub tags: Tags,
    /// Its values.
    pub values: Vec<f64>,
    /// Which of the graph's expressions it is of.
    pub expression: usize,
}

/// The result of a request.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What was asked.
    pub request: Request,
    /// The points; `time` of a point is the end of its step.
    pub grid: Grid,
    /// The expressions, offsets taken apart.
    pub expressions: Vec<Styled>,
    /// The lines in the order of the expressions.
    pub lines: Vec<Shown>,
    /// What the reader should know.
    pub notices: Vec<String>,
}

impl Graph {
    /// Evaluates a request.
    ///
    /// # Errors
    /// Whatever is wrong with its expressions, or cannot be read.
    pub fn evaluate(request: Request, database: &dyn Database) -> Result<Self, Error> {
        let mut expressions = Vec::new();
        for styled in crate::parse(&request.query)? {
            expressions.extend(styled.per_offset()?);
        }
        if expressions.is_empty() {
            return Err(Error::argument("requirement failed: the expression leaves nothing to show"));
        }
        let earlier = expressions.iter().flat_map(|styled| styled.expr.data()).map(|data| data.offset).max();
        let oldest = request.grid().start.saturating_sub(earlier.unwrap_or(0));
        let request = request.with_steps_of(database.step_at(oldest));
        let grid = request.grid();
        let mut lines = Vec::new();
        let mut notices = Vec::new();
        for (expression, styled) in expressions.iter().enumerate() {
            let found = evaluate(&styled.expr, database, grid, &request.zone)?;
            let named: Result<Vec<_>, Error> =
                found.into_iter().map(|line| Ok((styled.legend(&line)?, line))).collect();
            let offset = duration_text(styled.offset());
            for (legend, line) in styled.arrange(named?)? {
                if lines.len() == MOST_LINES {
                    notices.push(format!("only the first {MOST_LINES} lines are shown"));
                    break;
                }
                let tags = line.tags.with("atlas.offset", offset.as_str());
                lines.push(Shown { legend, tags, values: line.values, expression });
            }
        }
        Ok(Self { request, grid, expressions, lines, notices })
    }

    /// The result in the format asked for, and its media type.
    pub fn render(&self) -> (&'static str, Vec<u8>) {
        let format = self.request.format;
        let body = match format {
            Format::Json => text::json(self, text::NonFinite::Bare),
            Format::StdJson => text::json(self, text::NonFinite::Quoted),
            Format::StatsJson => text::stats(self),
            Format::Csv => text::table(self, ','),
            Format::Txt => text::table(self, '\t'),
            Format::V2Json => v2::json(self),
            Format::Svg => {
                backlot_figures::render::svg(&figure(self), self.request.size(), self.request.theme)
            }
            Format::Png => {
                let png = backlot_figures::render::png(
                    &figure(self),
                    self.request.size(),
                    self.request.theme,
                    self.request.zoom,
                );
                return (format.media_type(), png);
            }
        };
        (format.media_type(), body.into_bytes())
    }

    /// The style of a line's expression.
    pub(crate) fn style(&self, line: &Shown) -> &Styled {
        &self.expressions[line.expression]
    }
}
