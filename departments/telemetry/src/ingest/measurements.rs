//! Measurements of meters that need no wire: of this process, and of the agent that runs in it.

use std::io::Write;

use backlot_atlas::wire::Outcome;
use backlot_meters::{Measurement, Op};

use super::rows::{self, NoTags, Pairs, Rows};
use super::{IngestError, checked, form, merged_over_instances};
use crate::state::State;
use crate::store::{Effect, Sample};

/// Takes measurements of this moment, with tags that all of them get.
pub(crate) fn take(
    state: &State,
    measurements: &[Measurement],
    common: &[(String, String)],
) -> Result<Outcome, IngestError> {
    let now = state.now();
    let per_second = 1000.0 / state.settings.step as f64;
    let naming = state.store.naming();
    let shared: String = common.iter().map(|(key, value)| format!("{key}\0{value}\0")).collect();
    let context = naming.context(form::MEASUREMENTS, shared.as_bytes());
    let mut names = Vec::with_capacity(measurements.len() * 64);
    let ranges: Vec<_> = measurements
        .iter()
        .map(|measurement| {
            let start = names.len();
            // Writing to a vector does not fail. A meter's op is known by its statistic, which is in its tags.
            let _ = write!(names, "{}", measurement.id.name());
            for (key, value) in measurement.tags() {
                let _ = write!(names, "\0{key}\0{}", value.as_str());
            }
            start..names.len()
        })
        .collect();
    let mut rows = Rows::new(state, measurements.len());
    for (measurement, range) in measurements.iter().zip(ranges) {
        let sample = match measurement.op() {
            Op::Add => Sample::Value(Effect::Add, measurement.value * per_second),
            Op::Max => Sample::Value(Effect::Max, measurement.value),
        };
        rows.push(context, &names[range], now, sample);
    }
    let mut outcome = Outcome::default();
    rows::write(state, rows, &mut outcome, |number| {
        let measurement = &measurements[number];
        let mut pairs: Pairs<'_> = vec![("name".into(), measurement.id.name().into())];
        let own = measurement.tags().map(|(key, value)| (key.into(), value.as_str().to_owned().into()));
        pairs.extend(own);
        for (key, value) in common {
            if !pairs.iter().any(|(own, _)| own == key) {
                pairs.push((key.into(), value.into()));
            }
        }
        let kind = if measurement.op() == Op::Add { "sum" } else { "gauge" };
        Ok::<_, NoTags<'_, IngestError>>(merged_over_instances(checked(pairs)?, kind))
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}
