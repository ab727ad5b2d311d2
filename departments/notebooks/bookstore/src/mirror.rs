//! The bucket's copy of the archive: a queue in the ledger that ends when the bucket has every version.
//!
//! A save is acknowledged when the house has it; the bucket gets it afterwards, version after version in each path's order, so its
//! newest object is the newest save. What fails is tried again, at growing distances, for as long as it takes; a process that
//! dies leaves the queue in the ledger, and the next server goes on. Stock bookstore skips a save whose path is busy.

use std::time::Duration;

use crate::archive::{Archive, Upload};
use crate::bucket::Buckets;
use crate::error::Error;

/// How often the queue is looked at when nothing tells of a save: other processes save as well.
const LOOK: Duration = Duration::from_secs(5);

/// The distance to the first repetition; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest distance between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How many paths are uploaded at once.
const AT_ONCE: usize = 4;

/// Uploads what is due, until nothing is; how many versions it uploaded.
///
/// # Errors
/// The ledger or the store does not answer. What the bucket refuses is queued again, not an error.
pub async fn drain(archive: &Archive, buckets: &Buckets, bucket: &str) -> Result<usize, Error> {
    let mut uploaded = 0;
    loop {
        let due = archive.due().await?;
        if due.is_empty() {
            return Ok(uploaded);
        }
        for some in due.chunks(AT_ONCE) {
            let mut tasks = tokio::task::JoinSet::new();
            for one in some {
                let (archive, buckets, bucket, one) =
                    (archive.clone(), buckets.clone(), bucket.to_owned(), one.clone());
                tasks.spawn(async move { upload(&archive, &buckets, &bucket, &one).await });
            }
            while let Some(done) = tasks.join_next().await {
                match done {
                    Ok(done) => uploaded += usize::from(done?),
                    Err(error) => tracing::error!(%error, "an upload of a notebook's version ended early"),
                }
            }
        }
    }
}

async fn upload(archive: &Archive, buckets: &Buckets, bucket: &str, one: &Upload) -> Result<bool, Error> {
    let problem = match content(archive, one).await {
        Ok(content) => match buckets.put(bucket, &one.path, content).await {
            Ok(_) => {
                archive.uploaded(one).await?;
                return Ok(true);
            }
            Err(refused) => refused.message,
        },
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = one.path, version = one.version, problem, "a version is not in the bucket yet");
    archive.not_uploaded(one, problem, pause(one.tries)).await?;
    Ok(false)
}

async fn content(archive: &Archive, one: &Upload) -> Result<bytes::Bytes, Error> {
    let version = archive.version(&one.path, Some(one.version)).await?;
    archive.read(&version).await
}

fn pause(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE)
}

/// Keeps the bucket and the store up to the ledger, for as long as the returned future is polled.
pub(crate) async fn keep_up(archive: Archive, bucket: Option<(Buckets, String)>) {
    loop {
        if let Err(error) = archive.unspool().await {
            tracing::warn!(%error, "saves wait in the spool");
        }
        if let Some((buckets, name)) = &bucket
            && let Err(error) = drain(&archive, buckets, name).await
        {
            tracing::warn!(%error, "versions wait for the bucket");
        }
        tokio::select! {
            () = archive.something_queued() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 9, 40].into_iter().map(|tries| pause(tries).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
    }
}
