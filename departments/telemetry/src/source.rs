//! The store as a source of series for other departments.

use async_trait::async_trait;
use backlot_atlas::{evaluate, parse, zone};
use backlot_series::{Grid, Series, Source, SourceError};

use crate::state::Slot;

/// Answers stack expressions once the department has started.
#[derive(Clone, Default)]
pub(crate) struct TelemetrySource {
    pub(crate) slot: Slot,
}

#[async_trait]
impl Source for TelemetrySource {
    fn language(&self) -> &'static str {
        "atlas"
    }

    async fn fetch(&self, query: &str, grid: Grid) -> Result<Vec<Series>, SourceError> {
        let store = self
            .slot
            .get()
            .map(|state| state.store.clone())
            .ok_or_else(|| SourceError::Unavailable("the store is not open yet".to_owned()))?;
        if grid.step % store.options().step != 0 {
            let reason = format!("it must be a multiple of {} ms", store.options().step);
            return Err(SourceError::Grid { step: grid.step, reason });
        }
        let text = query.to_owned();
        let work = move || {
            let utc = zone("UTC")?;
            let mut all = Vec::new();
            for styled in parse(&text)? {
                all.extend(evaluate(&styled.expr, &*store, grid, &utc)?);
            }
            Ok::<_, backlot_atlas::Error>(all)
        };
        let lines = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| SourceError::Unavailable(error.to_string()))?;
        let lines = lines.map_err(|error| SourceError::query(query, error.to_string()))?;
        Ok(lines.into_iter().map(|line| Series { tags: line.tags, values: line.values }).collect())
    }
}
