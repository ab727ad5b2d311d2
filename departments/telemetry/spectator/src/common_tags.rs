//! Tags that every measurement of a host gets.

use std::env;

use backlot_meters::Id;

/// Environment variables that name them, as Netflix's base image sets them.
const VARIABLES: [(&str, &str); 15] = [
    ("NETFLIX_ACCOUNT_ID", "nf.account"),
    ("NETFLIX_AMI", "nf.ami"),
    ("NETFLIX_APP", "nf.app"),
    ("NETFLIX_AUTO_SCALE_GROUP", "nf.asg"),
    ("NETFLIX_CLUSTER", "nf.cluster"),
    ("NETFLIX_INSTANCE_ID", "nf.node"),
    ("NETFLIX_REGION", "nf.region"),
    ("NETFLIX_SHARD1", "nf.shard1"),
    ("NETFLIX_SHARD2", "nf.shard2"),
    ("NETFLIX_STACK", "nf.stack"),
    ("NETFLIX_VM_TYPE", "nf.vmtype"),
    ("NETFLIX_VPC_ID", "nf.vpc"),
    ("EC2_AVAILABILITY_ZONE", "nf.zone"),
    ("TITUS_CONTAINER_NAME", "nf.container"),
    ("TITUS_TASK_INSTANCE_ID", "nf.task"),
];

/// Tags of all measurements of an agent.
pub type CommonTags = Vec<(String, String)>;

/// Those that the environment names; empty ones are left out.
pub fn from_environment() -> CommonTags {
    let present = VARIABLES.iter().filter_map(|(variable, key)| Some((*key, env::var(variable).ok()?)));
    present.filter(|(_, value)| !value.is_empty()).map(|(key, value)| clean(key, &value)).collect()
}

/// Reads `nf.app=api,nf.cluster=api-main`.
///
/// # Errors
/// [`CommonTagsError`] for a part that is not `key=value`.
pub fn parse(text: &str) -> Result<CommonTags, CommonTagsError> {
    let parts = text.split(',').filter(|_| !text.is_empty());
    let read = |part: &str| match part.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(clean(key, value)),
        _ => Err(CommonTagsError(part.to_owned())),
    };
    parts.map(read).collect()
}

/// A part of the common tags that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a common tag; write nf.app=api,nf.cluster=api-main")]
pub struct CommonTagsError(String);

/// A tag in the characters that Atlas stores.
pub(crate) fn clean(key: &str, value: &str) -> (String, String) {
    let id = Id::new("").with(key, value);
    let tag = id.tags().next().map(|(key, value)| (key.to_owned(), value.to_owned()));
    tag.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_and_cleaned() {
        assert_eq!(parse(""), Ok(vec![]));
        let tags = [("nf.app", "a_b"), ("k", "v=w")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse("nf.app=a b,k=v=w").unwrap()[0], tags[0]);
        assert_eq!(parse("k=v=w").unwrap()[0], ("k".to_owned(), "v_w".to_owned()));
        for bad in ["a", "a=", "=b", "a=b,", ",a=b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
