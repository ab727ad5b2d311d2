//! The planner: from what is known of a deployed kernelspec to what is to be done about it. Pure.
//!
//! A kernelspec is deployed in versions. The *stable* version is what kernels start with; a *canary* version gets a fraction of new kernels
//! and is counted: each start either comes up or fails. The plan says whether the canary goes on, is rolled back, or could be promoted;
//! it promotes nothing by itself, because a kernel that starts may still be the wrong one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Failures after which a canary is rolled back, whatever else came up. One failed start may be the machine's fault; three of a canary are
/// not.
const MAX_FAILURES: u64 = 3;

/// Starts, of which none may have failed, after which a canary is called ready. The chance that a kernel that fails one time in ten passes is
/// 0.9 to the 20th: 12 %.
const READY_AFTER: u64 = 20;

/// What is known of a deployed kernelspec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// The version that kernels start with; none if the kernelspec that is installed on the machine is it.
    pub stable: Option<String>,
    /// The version that was stable before, to which a rollback without a canary leads.
    pub previous: Option<String>,
    /// The version that is tried.
    pub canary: Option<Canary>,
}

/// A version that is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// The version.
    pub version: String,
    /// The fraction of new kernels that start with it, from 0 to 1.
    pub fraction: f64,
    /// Kernels that came up with it.
    pub starts: u64,
    /// Kernels that did not.
    pub failures: u64,
}

/// What happens to a deployed kernelspec.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A version is deployed: to this fraction of new kernels, or to all.
    Deploy {
        /// The version.
        version: String,
        /// The fraction; 1 for all.
        fraction: f64,
    },
    /// The canary becomes stable.
    Promote,
    /// The canary is given up, or, without one, the version before comes back.
    RollBack,
    /// A kernel that was started with this version came up, or did not.
    Started {
        /// The version.
        version: String,
        /// Whether it came up.
        is_up: bool,
    },
}

/// What the planner makes of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing is tried.
    Settled,
    /// The canary goes on; how many starts are missing until it is ready.
    Observe {
        /// Starts that are missing.
        missing: u64,
    },
    /// The canary could be promoted.
    Ready,
    /// The canary is to be rolled back.
    RollBack,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no canary.
    #[error("no canary is deployed; `kernelspec deploy --canary` deploys one")]
    NoCanary,
    /// There is nothing to go back to.
    #[error("there is no version to go back to; `kernelspec deploy` deploys another")]
    NothingBefore,
    /// A fraction that is none.
    #[error("a canary gets more than 0 % and at most 100 % of new kernels; give another --canary")]
    Fraction,
}

impl Deployment {
    /// What is to be done about it.
    pub fn verdict(&self) -> Verdict {
        let Some(canary) = &self.canary else { return Verdict::Settled };
        if canary.failures >= MAX_FAILURES {
            return Verdict::RollBack;
        }
        match (READY_AFTER.saturating_sub(canary.starts), canary.failures) {
            (0, 0) => Verdict::Ready,
            (missing, _) => Verdict::Observe { missing },
        }
    }

    /// The deployment after a change.
    ///
    /// # Errors
    /// A change that cannot be.
    pub fn after(&self, change: &Change) -> Result<Deployment, Refusal> {
        let mut next = self.clone();
        match change {
            Change::Deploy { fraction, .. } if !(*fraction > 0.0 && *fraction <= 1.0) => {
                return Err(Refusal::Fraction);
            }
            Change::Deploy { version, fraction } if *fraction < 1.0 => {
                let canary = Canary { version: version.clone(), fraction: *fraction, starts: 0, failures: 0 };
                next.canary = Some(canary);
            }
            Change::Deploy { version, .. } => next.make_stable(version),
            Change::Promote => {
                let canary = self.canary.as_ref().ok_or(Refusal::NoCanary)?;
                next.make_stable(&canary.version);
            }
            Change::RollBack if self.canary.is_some() => next.canary = None,
            Change::RollBack => {
                if self.stable.is_none() {
                    return Err(Refusal::NothingBefore);
                }
                next.stable = next.previous.take();
            }
            Change::Started { version, is_up } => {
                // What was replaced meanwhile is not counted.
                if let Some(canary) = next.canary.as_mut().filter(|canary| canary.version == *version) {
                    if *is_up {
                        canary.starts += 1;
                    } else {
                        canary.failures += 1;
                    }
                }
                if next.verdict() == Verdict::RollBack {
                    next.canary = None;
                }
            }
        }
        Ok(next)
    }

    fn make_stable(&mut self, version: &str) {
        if self.stable.as_deref() != Some(version) {
            self.previous = self.stable.replace(version.to_owned());
        }
        self.canary = None;
    }

    /// The version with which a kernel starts; `chance` is a number from 0 to 1 that is the kernel's own. None for the kernelspec that is
    /// installed on the machine.
    pub fn choose(&self, chance: f64) -> Option<&str> {
        match &self.canary {
            Some(canary) if chance < canary.fraction => Some(&canary.version),
            _ => self.stable.as_deref(),
        }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stable {}", self.stable.as_deref().unwrap_or("as installed"))?;
        if let Some(canary) = &self.canary {
            let percent = canary.fraction * 100.0;
            write!(f, ", canary {} for {percent:.0} % of new kernels", canary.version)?;
            write!(f, ": {} came up, {} failed", canary.starts, canary.failures)?;
        }
        match self.verdict() {
            Verdict::Settled | Verdict::RollBack => Ok(()),
            Verdict::Ready => write!(f, "; ready to be promoted"),
            Verdict::Observe { missing } => write!(f, "; observed for {missing} more starts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed(version: &str, fraction: f64) -> Change {
        Change::Deploy { version: version.to_owned(), fraction }
    }

    fn started(version: &str, is_up: bool) -> Change {
        Change::Started { version: version.to_owned(), is_up }
    }

    #[test]
    fn a_canary_is_observed_and_promoted() {
        let mut now = Deployment::default().after(&deployed("a", 1.0)).unwrap();
        now = now.after(&deployed("b", 0.1)).unwrap();
        assert_eq!((now.choose(0.05), now.choose(0.1), now.choose(0.9)), (Some("b"), Some("a"), Some("a")));
        for _ in 0..READY_AFTER {
            assert!(matches!(now.verdict(), Verdict::Observe { .. }));
            now = now.after(&started("b", true)).unwrap();
        }
        assert_eq!(now.verdict(), Verdict::Ready);
        now = now.after(&Change::Promote).unwrap();
        assert_eq!(
            (now.stable.as_deref(), now.previous.as_deref(), &now.canary),
            (Some("b"), Some("a"), &None)
        );
        now = now.after(&Change::RollBack).unwrap();
        assert_eq!((now.stable.as_deref(), now.previous.as_deref()), (Some("a"), None));
    }

    #[test]
    fn a_canary_that_fails_is_rolled_back_by_itself() {
        let mut now = Deployment::default().after(&deployed("b", 0.5)).unwrap();
        for _ in 0..5 {
            now = now.after(&started("b", true)).unwrap();
        }
        for left in (0..MAX_FAILURES).rev() {
            now = now.after(&started("b", false)).unwrap();
            assert_eq!(now.canary.is_some(), left > 0);
        }
        assert_eq!((now.choose(0.0), now.verdict()), (None, Verdict::Settled));
        // A kernel of it that comes up late changes nothing.
        assert_eq!(now.after(&started("b", false)).unwrap(), now);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let none = Deployment::default();
        assert_eq!(none.after(&Change::Promote), Err(Refusal::NoCanary));
        assert_eq!(none.after(&Change::RollBack), Err(Refusal::NothingBefore));
        for fraction in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(none.after(&deployed("a", fraction)), Err(Refusal::Fraction));
        }
    }

    #[test]
    fn a_fraction_is_that_of_the_chances() {
        let now = Deployment::default().after(&deployed("b", 0.25)).unwrap();
        let of = |kernel: u32| super::super::chance_of(&format!("kernel-{kernel}"));
        let canaries = (0..4_000).filter(|kernel| now.choose(of(*kernel)).is_some()).count();
        assert!((900..1_100).contains(&canaries), "{canaries}");
    }
}
