//! A job as a durable run: its spec, its submission, its outcome.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backlot_frames::Rate;
use backlot_store::Store;
use backlot_work::{
    BlobRef, Kind, ParamType, RunFilter, RunSpec, RunState, RunStatus, StepSpec, SubmitOptions, Work,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kinds::Wire;
pub use crate::kinds::kinds;
use crate::media::Media;
use crate::native::Natives;
use crate::steps::Environment;
use crate::{Job, JobError};

/// Names of runs begin with this, and the job's name follows.
pub const RUN_PREFIX: &str = "archer.";

/// The most unfinished runs that a submission looks at for ones of an older delivery of the same clip.
const LOOKED_AT: u32 = 500;

/// The largest result that is read back from the store.
const LARGEST_RESULT: u64 = 1 << 30;

/// What keeps a job from being submitted or its outcome from being read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job or its parameters.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A file that the job names.
    #[error("{path}: {reason}; correct `files` in the job, or put the file there")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The clip.
    #[error("the clip {name}: {reason}; give the path of a video file, or store:NAME of one in the store")]
    Clip {
        /// As it was named.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Durable work.
    #[error(transparent)]
    Work(#[from] backlot_work::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
    /// A run that is none of these.
    #[error("run {0} is not a run of Archer; `backlot archer runs` lists those")]
    NotArcher(String),
    /// A result that cannot be read.
    #[error("the result of run {0} cannot be read; run the job again")]
    Unreadable(String),
}

/// All task kinds with the jobs that this crate ships.
pub fn shipped_kinds(media: Arc<dyn Media>) -> Vec<Arc<dyn Kind>> {
    kinds(media, Natives::shipped())
}

/// Where a clip came from, and which delivery of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `store:NAME`, or the absolute path of a file.
    pub origin: String,
    /// What it is called: the last part of that.
    pub name: String,
    /// Its content.
    pub clip: BlobRef,
}

impl Delivery {
    /// Takes a clip into the store: `store:NAME` of an object there, or a path.
    pub async fn take(store: &Store, named: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Clip { name: named.to_owned(), reason };
        if let Some(object) = named.strip_prefix("store:") {
            let reader = store.open_named(object).await.map_err(|error| wrong(error.to_string()))?;
            let blob = store.put_stream(reader.into_stream()).await?;
            return Ok(Self::new(named.to_owned(), object, blob));
        }
        let path = std::path::absolute(named).map_err(|error| wrong(error.to_string()))?;
        if !path.is_file() {
            return Err(wrong(
                if path.exists() { "it is not a file" } else { "it does not exist" }.to_owned(),
            ));
        }
        let blob = store.put_file(&path).await?;
        let origin = path.to_string_lossy().into_owned();
        Ok(Self::new(origin.clone(), &origin, blob))
    }

    fn new(origin: String, path: &str, blob: backlot_store::Blob) -> Self {
        let name = path.rsplit('/').next().unwrap_or("clip").to_owned();
        let clip = BlobRef { digest: blob.digest, size: blob.size, media_type: "video/mp4".to_owned() };
        Self { origin, name, clip }
    }
}

/// A job with its files in the store, its parameters bound, and the clip it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The job.
    pub job: Job,
    /// The job's files: path in the functions' directory to content.
    pub files: BTreeMap<String, BlobRef>,
    /// The parameters, with defaults filled in.
    pub params: Map<String, Value>,
    /// The clip.
    pub delivery: Delivery,
    /// Makes the frame rate constant at this.
    pub fps: Option<Rate>,
}

/// Puts a job's files into the store. Paths are seen from `base`, the directory of the job's file.
pub async fn take_files(store: &Store, job: &Job, base: &Path) -> Result<BTreeMap<String, BlobRef>, Error> {
    let mut files = BTreeMap::new();
    for (name, path) in &job.files {
        let path = base.join(path);
        let blob = store
            .put_file(&path)
            .await
            .map_err(|error| Error::File { path: path.display().to_string(), reason: error.to_string() })?;
        let blob = BlobRef {
            digest: blob.digest,
            size: blob.size,
            media_type: "application/octet-stream".to_owned(),
        };
        files.insert(name.clone(), blob);
    }
    Ok(files)
}

impl Submission {
    /// The run: its spec, the same for every clip and for all parameters of a job.
    pub fn spec(&self) -> RunSpec {
        let job = &self.job;
        let json = ParamType::Json;
        let common = json!({
            "environment": "${params.environment}",
            "files": "${params.files}",
            "params": "${params.params}",
            "clip": "${params.delivery.clip}",
            "source": "${steps.probe.source}",
            "tools": "${steps.tools.version}",
        });
        let mut tools = StepSpec::new("tools", "media.archer.tools", json!({}));
        tools.retry.max = job.limits.retries;
        let mut probe = StepSpec::new(
            "probe",
            "media.archer.probe",
            json!({
                "clip": "${params.delivery.clip}",
                "name": "${params.delivery.name}",
                "fps": "${params.fps}",
                "tools": "${steps.tools.version}",
            }),
        );
        probe.retry.max = job.limits.retries;
        let mut split = StepSpec::new(
            "split",
            "media.archer.split",
            json!({ "common": common, "split": "${params.split}" }),
        );
        split.retry.max = job.limits.retries;
        let mut map = StepSpec::new(
            "map",
            "media.archer.map",
            json!({
                "common": common,
                "function": "${params.map}",
                "frames": "${params.frames}",
                "part": "${item}",
                "on_failure": "${params.on_failure}",
            }),
        )
        .map_over(json!("${steps.split.parts}"), job.limits.concurrency);
        map.retry.max = job.limits.retries;
        map.cpus = job.limits.cpus;
        // One part's failure is no reason not to look at the others, and what they find is reused.
        map.keep_going = true;
        if job.on_failure == crate::OnFailure::Collect {
            // There a failure is a result, which must not be taken for an answer the next time.
            map.cache = Some(false);
        }
        let mut collect = StepSpec::new(
            "collect",
            "media.archer.collect",
            json!({
                "common": common,
                "function": "${params.collect}",
                "parts": "${steps.split.parts}",
                "results": "${steps.map.made}",
            }),
        );
        collect.retry.max = job.limits.retries;
        let mut spec = RunSpec::new(format!("{RUN_PREFIX}{}", job.name));
        spec.description.clone_from(&job.description);
        for name in [
            "environment",
            "files",
            "params",
            "delivery",
            "fps",
            "split",
            "map",
            "frames",
            "collect",
            "on_failure",
        ] {
            spec = spec.param(name, json, None);
        }
        spec.step(tools).step(probe).step(split).step(map).step(collect)
    }

    /// The run's parameters.
    pub fn run_params(&self) -> Map<String, Value> {
        let Submission { job, files, params, delivery, fps } = self;
        let all = json!({
            "environment": Environment::of(job),
            "files": files,
            "params": params,
            "delivery": delivery,
            "fps": fps,
            "split": job.split,
            "map": job.map,
            "frames": job.frames,
            "collect": job.collect,
            "on_failure": job.on_failure,
        });
        match all {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Submits the run. Unfinished runs of the job on an earlier delivery of the same clip are cancelled first: nobody wants to know
    /// any more. Gives the run's id and theirs.
    pub async fn submit(&self, work: &Work, options: SubmitOptions) -> Result<(String, Vec<String>), Error> {
        let spec = self.spec();
        let states = vec![RunState::Queued, RunState::Running, RunState::Paused];
        let filter =
            RunFilter { states, name: Some(spec.name.clone()), limit: LOOKED_AT, ..RunFilter::default() };
        let mut superseded = Vec::new();
        for run in work.runs(filter).await? {
            let Some(old) = delivery(&run) else { continue };
            if old.origin == self.delivery.origin && old.clip.digest != self.delivery.clip.digest {
                let reason = format!("{} was delivered anew", old.origin);
                work.cancel(&run.id, &options.by, Some(&reason)).await?;
                superseded.push(run.id);
            }
        }
        Ok((work.submit(spec, self.run_params(), options, None).await?, superseded))
    }
}

/// The clip of a run of Archer.
pub fn delivery(run: &RunStatus) -> Option<Delivery> {
    Delivery::deserialize(run.params.get("delivery")?).ok()
}

/// The job of a run of Archer.
pub fn job_name(run: &RunStatus) -> Option<&str> {
    run.name.strip_prefix(RUN_PREFIX)
}

/// What a job made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Collect's result.
    pub result: Value,
    /// Collect's files.
    pub files: BTreeMap<String, BlobRef>,
}

/// The outcome of a run that has succeeded.
pub async fn outcome(work: &Work, run: &RunStatus) -> Result<Outcome, Error> {
    if job_name(run).is_none() {
        return Err(Error::NotArcher(run.id.clone()));
    }
    let outputs = work.outputs(&run.id, "collect").await?;
    let unreadable = || Error::Unreadable(run.id.clone());
    let wire = Wire::deserialize(outputs.get("made").ok_or_else(unreadable)?).map_err(|_| unreadable())?;
    let result = match &wire.blob {
        Some(blob) => {
            let bytes = work.store().get(&blob.digest, LARGEST_RESULT).await?;
            serde_json::from_slice(&bytes).map_err(|_| unreadable())?
        }
        None => wire.value,
    };
    Ok(Outcome { result, files: wire.files })
}

/// The bytes of a result's file: the same for equal results.
pub fn result_bytes(result: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(result).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
