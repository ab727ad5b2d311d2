//! How departments read one another's series.

use async_trait::async_trait;

use crate::{Grid, Series};

/// Named query in, series out. The department that keeps series implements it and offers it; who analyses series asks for it;
/// the binary brings the two together.
///
/// ```
/// use backlot_series::{Grid, Series, Source, SourceError, Tags};
///
/// struct Ramp;
///
/// #[async_trait::async_trait]
/// impl Source for Ramp {
///     fn language(&self) -> &'static str {
///         "ramp"
///     }
///
///     async fn fetch(&self, query: &str, grid: Grid) -> Result<Vec<Series>, SourceError> {
///         let slope: f64 = query.parse().map_err(|_| SourceError::query(query, "it is not a number"))?;
///         let values = (0..grid.len).map(|at| slope * at as f64).collect();
///         Ok(vec![Series { tags: Tags::new([("name", "ramp")]), values }])
///     }
/// }
/// ```
#[async_trait]
pub trait Source: Send + Sync {
    /// What its queries are written in: `atlas`.
    fn language(&self) -> &'static str;

    /// The series that a query gives, each with one value for each point of the grid.
    ///
    /// # Errors
    /// A query that is not understood, a grid that the source cannot serve, a source that cannot be read.
    async fn fetch(&self, query: &str, grid: Grid) -> Result<Vec<Series>, SourceError>;
}

/// Why a source has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The query is wrong.
    #[error("the query `{query}` is refused: {reason}")]
    Query {
        /// The query, cut at 200 characters.
        query: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The grid is not one that the source can serve.
    #[error("a step of {step} ms cannot be served: {reason}")]
    Grid {
        /// The step that was asked for.
        step: i64,
        /// Which can be.
        reason: String,
    },
    /// The source cannot be read.
    #[error("the series cannot be read: {0}")]
    Unavailable(String),
}

impl SourceError {
    /// A refused query.
    pub fn query(query: &str, reason: impl Into<String>) -> Self {
        Self::Query { query: query.chars().take(200).collect(), reason: reason.into() }
    }
}
