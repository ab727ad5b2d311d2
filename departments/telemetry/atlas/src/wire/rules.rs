//! Which tags a publisher may send.
//!
//! The limits are those of the aggregator that Spectator's clients are made for: they keep a broken publisher from filling the
//! index with nonsense.

use backlot_series::Tags;

/// A datapoint that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// Which.
    pub tags: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (tags={})", self.reason, self.tags)
    }
}

const KEY_LENGTH: std::ops::RangeInclusive<usize> = 2..=60;
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 2..=255;
const VALUE_LENGTH: std::ops::RangeInclusive<usize> = 1..=120;
const MOST_USER_TAGS: usize = 20;

const ATLAS_KEYS: [&str; 4] = ["aggr", "dstype", "offset", "legacy"];
const NF_KEYS: [&str; 20] = [
    "account",
    "ami",
    "app",
    "asg",
    "cluster",
    "container",
    "country",
    "country.rollup",
    "job",
    "node",
    "process",
    "region",
    "shard1",
    "shard2",
    "stack",
    "subnet",
    "task",
    "vmtype",
    "vpc",
    "zone",
];

/// Checks the tags of a datapoint, given as pairs in any order. Letters that are not allowed become `_` in place.
///
/// # Errors
/// Why the datapoint is refused.
pub fn check_tags(
    pairs: &mut [(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)],
) -> Result<(), String> {
    let mut has_name = false;
    let mut users = 0;
    for (key, value) in pairs.iter_mut() {
        clean(key);
        clean(value);
        let is_name = key == "name";
        has_name |= is_name;
        if !KEY_LENGTH.contains(&key.len()) {
            return Err(format!(
                "invalid key length: [{key}] has {} characters, 2 to 60 are allowed",
                key.len()
            ));
        }
        let allowed = if is_name { NAME_LENGTH } else { VALUE_LENGTH };
        if !allowed.contains(&value.len()) {
            return Err(format!(
                "invalid value length for key [{key}]: {} characters, {} to {} are allowed",
                value.len(),
                allowed.start(),
                allowed.end()
            ));
        }
        let reserved = |prefix: &str, known: &[&str]| match key.strip_prefix(prefix) {
            Some(rest) if !known.contains(&rest) => {
                Some(format!("invalid key for reserved prefix '{prefix}': {key}"))
            }
            _ => None,
        };
        if let Some(reason) = reserved("atlas.", &ATLAS_KEYS).or_else(|| reserved("nf.", &NF_KEYS)) {
            return Err(reason);
        }
        users += usize::from(!key.starts_with("atlas.") && !key.starts_with("nf."));
    }
    if !has_name {
        return Err("missing key 'name'".to_owned());
    }
    if users > MOST_USER_TAGS {
        return Err(format!("too many user tags: {users}, at most {MOST_USER_TAGS} are allowed"));
    }
    Ok(())
}

/// Letters, digits and `-._~^` are allowed.
fn clean(text: &mut std::borrow::Cow<'_, str>) {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~^".contains(letter);
    if !text.chars().all(allowed) {
        *text =
            text.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect::<String>().into();
    }
}

/// What is kept of a series when instances are merged: the buckets of percentile meters lose the tags of the single instance, for
/// there are many of them.
pub fn roll_up(tags: &Tags) -> Tags {
    if tags.get("percentile").is_some() {
        tags.only(|key| key != "nf.node" && key != "nf.task")
    } else {
        tags.clone()
    }
}
