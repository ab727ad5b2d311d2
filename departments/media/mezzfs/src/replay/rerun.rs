//! Running a replay again: the same reads, in the same order, against the same objects.
//!
//! As many reads are under way at a time as were in the recording, so that a program with 16 threads is run again as one.
//! Between reads there is no wait: what is measured is how fast the mount could have been.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{Operation, Record, Replay};
use crate::manifest::FileEntry;
use crate::meters::Meters;
use crate::object::{Object, Opener};
use crate::plan::{Parallel, Planner, Policy, Read, simulate};
use crate::reader::Reader;
use crate::session::LEAST_BUFFER;
use crate::tree::Tree;
use crate::{Error, Location};

/// The most reads under way at a time.
const MOST_READS: usize = 256;

/// What a rerun came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Reads that were run; as many as the recording has.
    pub reads: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes fetched from the origin.
    pub fetched_bytes: u64,
    /// Bytes fetched for each byte read.
    pub amplification: f64,
    /// Requests to the origin.
    pub fetches: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Bytes read in a second, in MB.
    pub megabytes_per_second: f64,
    /// How many reads were under way at a time.
    pub concurrency: usize,
}

/// The reads of a replay, in the order in which they began.
pub fn reads(replay: &Replay) -> Vec<Record> {
    let mut reads: Vec<Record> = replay.of(Operation::Read).copied().collect();
    reads.sort_by_key(|record| record.at.saturating_sub(record.took));
    reads
}

/// How many reads were under way at a time in the recording.
pub fn concurrency(replay: &Replay) -> usize {
    let mut events: Vec<(u64, i64)> = replay
        .of(Operation::Read)
        .flat_map(|record| [(record.at.saturating_sub(record.took), 1), (record.at.saturating_add(1), -1)])
        .collect();
    events.sort_unstable();
    let (mut now, mut most) = (0_i64, 1);
    for (_, change) in events {
        now += change;
        most = most.max(now);
    }
    (most as usize).min(MOST_READS)
}

/// What the planner alone foretells: bytes fetched, requests, hits; nothing is read.
pub fn foretell(
    replay: &Replay,
    policy: Policy,
    max_buffer: u64,
) -> Result<crate::plan::planner::Outcome, Error> {
    let tree = tree(replay, None)?;
    let planner = Planner::new(policy, max_buffer, Parallel::of(policy));
    let trace = reads(replay).into_iter().map(|r| Read { object: r.object, offset: r.offset, len: r.len });
    Ok(simulate(planner, trace, |read| tree.region(read.object, read.offset)))
}

/// The tree of what was mounted, one file for each region.
fn tree(replay: &Replay, sizes: Option<&[u64]>) -> Result<Tree, Error> {
    let mut objects = HashMap::new();
    let mut files = Vec::new();
    for (at, object) in replay.metadata.objects.iter().enumerate() {
        let size = sizes.map_or(object.size, |sizes| sizes[at]);
        objects.insert(at.to_string(), (at as u32, size));
        let whole = vec![(0, object.size)];
        let regions = if object.regions.is_empty() { &whole } else { &object.regions };
        files.extend(regions.iter().enumerate().map(|(i, &(start, end))| FileEntry {
            path: format!("{at}/{i}"),
            object: at.to_string(),
            offset: start,
            length: Some(end.saturating_sub(start)),
            count: None,
        }));
    }
    Tree::build("the replay", &files, &objects)
}

/// Runs a replay again.
///
/// # Errors
/// Objects that cannot be opened, or whose size is another now.
pub async fn run(
    replay: &Replay,
    opener: &Opener,
    policy: Policy,
    max_buffer: u64,
) -> Result<Outcome, Error> {
    if max_buffer < LEAST_BUFFER {
        return Err(Error::low_buffer(max_buffer, LEAST_BUFFER));
    }
    let mut objects = Vec::new();
    for recorded in &replay.metadata.objects {
        let location: Location = recorded.place.parse()?;
        let object = if recorded.is_manifest {
            let text = opener.manifest_text(&location).await?;
            Object::assembled(crate::manifest::ObjectManifest::parse(&recorded.place, &text)?, opener)?
        } else {
            Object::plain(&location, opener).await?
        };
        if object.size() != recorded.size {
            return Err(Error::Changed { place: recorded.place.clone() });
        }
        objects.push(Arc::new(object));
    }
    let sizes: Vec<u64> = objects.iter().map(|object| object.size()).collect();
    let tree = Arc::new(tree(replay, Some(&sizes))?);
    let meters = Arc::clone(&opener.clients.meters);
    let before = (Meters::get(&meters.fetched_bytes), Meters::get(&meters.fetches));
    let planner = Planner::new(policy, max_buffer, Parallel::of(policy));
    let reader = Reader::new(objects, tree, planner, Arc::clone(&meters), None, Handle::current());

    let concurrency = concurrency(replay);
    let slots = Arc::new(Semaphore::new(concurrency));
    let (bytes, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let trace = reads(replay);
    let begun = Instant::now();
    for record in &trace {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let (bytes, failed) = (Arc::clone(&bytes), Arc::clone(&failed));
        let read = Read { object: record.object, offset: record.offset, len: record.len };
        reader.read_with(read, move |answer| {
            match answer {
                Ok(pieces) => bytes.fetch_add(pieces.len() as u64, Ordering::Relaxed),
                Err(_) => failed.fetch_add(1, Ordering::Relaxed),
            };
            drop(slot);
        });
    }
    // All slots back means all reads answered.
    let _ = slots.acquire_many(concurrency as u32).await;
    let seconds = begun.elapsed().as_secs_f64();
    let read_bytes = bytes.load(Ordering::Relaxed);
    let fetched_bytes = Meters::get(&meters.fetched_bytes) - before.0;
    let ratio = |over: f64, under: f64| if under > 0.0 { over / under } else { 0.0 };
    Ok(Outcome {
        reads: trace.len() as u64,
        failed: failed.load(Ordering::Relaxed),
        read_bytes,
        fetched_bytes,
        amplification: ratio(fetched_bytes as f64, read_bytes as f64),
        fetches: Meters::get(&meters.fetches) - before.1,
        seconds,
        megabytes_per_second: ratio(read_bytes as f64 / 1e6, seconds),
        concurrency,
    })
}
