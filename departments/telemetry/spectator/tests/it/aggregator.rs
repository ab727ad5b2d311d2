//! The aggregator of these tests, with what they ask of it.

use std::ops::Deref;

use backlot_spectator::testing::{self, Answer};

pub(crate) struct Aggregator(testing::Aggregator);

impl Aggregator {
    pub(crate) fn start() -> Aggregator {
        Aggregator(testing::Aggregator::start().unwrap())
    }

    /// Statuses and bodies of its next answers.
    pub(crate) fn answers(&self, answers: &[(u16, &str)]) {
        self.answer(answers.iter().map(|(status, body)| Answer::Status(*status, (*body).to_owned())));
    }

    /// All updates so far, without those of the agent itself.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.all_lines().into_iter().filter(|line| !line.starts_with("spectator")).collect()
    }

    pub(crate) fn all_lines(&self) -> Vec<String> {
        testing::lines(&self.received())
    }
}

impl Deref for Aggregator {
    type Target = testing::Aggregator;

    fn deref(&self) -> &testing::Aggregator {
        &self.0
    }
}
