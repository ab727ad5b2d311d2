//! Outliers over sliding windows: a host is called one when most of its last windows say so, and no longer when several in a row do not.
//!
//! One window is a compromise between noise and delay. With hysteresis a short window may be used: chance strikes the same host rarely in several
//! windows, and a host on the edge does not come and go.

use super::Label;
use crate::Error;

/// How many windows it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hysteresis {
    /// A host becomes an outlier when so many…
    pub enter: usize,
    /// … of its last so many windows say so (at most 64),
    pub of: usize,
    /// and is none any more after so many windows in a row that say it is usual.
    pub leave: usize,
}

impl Default for Hysteresis {
    /// Three of the last five; three in a row.
    fn default() -> Self {
        Self { enter: 3, of: 5, leave: 3 }
    }
}

/// A host's state has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It became an outlier.
    Entered(usize),
    /// It is none any more.
    Left(usize),
}

/// What is known of each host.
///
/// ```
/// use backlot_signals_kernels::outliers::{Hysteresis, Label, Steady, Turn};
///
/// let mut steady = Steady::new(1, Hysteresis { enter: 2, of: 3, leave: 2 })?;
/// assert_eq!(steady.observe(&[Label::Outlier])?, []);
/// assert_eq!(steady.observe(&[Label::Usual])?, []);
/// assert_eq!(steady.observe(&[Label::Outlier])?, [Turn::Entered(0)]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Steady {
    hysteresis: Hysteresis,
    hosts: Vec<Host>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    /// The last windows, the newest in the lowest bit; a bit is set where the window said outlier.
    windows: u64,
    usual_in_a_row: usize,
    is_outlier: bool,
}

impl Steady {
    /// Nothing is known of so many hosts.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn new(hosts: usize, hysteresis: Hysteresis) -> Result<Self, Error> {
        let Hysteresis { enter, of, leave } = hysteresis;
        let refuse = |name, value: usize, wanted| Err(Error::Parameter { name, value: value as f64, wanted });
        if !(1..=64).contains(&of) {
            return refuse("of", of, "give 1 to 64 windows");
        }
        if !(1..=of).contains(&enter) {
            return refuse("enter", enter, "give at least 1 and no more windows than are looked at");
        }
        if leave == 0 {
            return refuse("leave", leave, "give at least 1 window");
        }
        Ok(Self { hysteresis, hosts: vec![Host::default(); hosts] })
    }

    /// Takes what a window says of each host. A window in which a host is sparse says nothing of it.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of hosts.
    pub fn observe(&mut self, labels: &[Label]) -> Result<Vec<Turn>, Error> {
        if labels.len() != self.hosts.len() {
            return Err(Error::Length { left: labels.len(), right: self.hosts.len() });
        }
        let Hysteresis { enter, of, leave } = self.hysteresis;
        let mask = u64::MAX >> (64 - of);
        let mut turns = Vec::new();
        for (number, (host, label)) in self.hosts.iter_mut().zip(labels).enumerate() {
            let says_outlier = match label {
                Label::Sparse => continue,
                Label::Outlier => true,
                Label::Usual => false,
            };
            host.windows = ((host.windows << 1) | u64::from(says_outlier)) & mask;
            host.usual_in_a_row = if says_outlier { 0 } else { host.usual_in_a_row + 1 };
            if !host.is_outlier && host.windows.count_ones() as usize >= enter {
                host.is_outlier = true;
                turns.push(Turn::Entered(number));
            } else if host.is_outlier && host.usual_in_a_row >= leave {
                // What led to it is forgotten, or the next chance window would bring it back.
                *host = Host::default();
                turns.push(Turn::Left(number));
            }
        }
        Ok(turns)
    }

    /// The hosts that are outliers now.
    pub fn outliers(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&host| self.hosts[host].is_outlier).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_ignored_and_edges_do_not_flap() {
        let mut steady = Steady::new(2, Hysteresis::default()).unwrap();
        let mut turns = Vec::new();
        // Host 0 is off now and then, host 1 from window 5 to 20 but for every fourth window.
        for window in 0..40 {
            let host_0 = if window % 4 == 0 { Label::Outlier } else { Label::Usual };
            let is_off = (5..20).contains(&window) && window % 4 != 0;
            let host_1 = if window == 8 {
                Label::Sparse
            } else if is_off {
                Label::Outlier
            } else {
                Label::Usual
            };
            turns.extend(steady.observe(&[host_0, host_1]).unwrap().into_iter().map(|turn| (window, turn)));
        }
        assert_eq!(turns, [(7, Turn::Entered(1)), (22, Turn::Left(1))]);
        assert!(steady.outliers().is_empty());
    }

    #[test]
    fn impossible_rules_are_refused() {
        for (enter, of, leave) in [(0, 5, 1), (6, 5, 1), (1, 65, 1), (1, 0, 1), (1, 1, 0)] {
            assert!(Steady::new(3, Hysteresis { enter, of, leave }).is_err(), "{enter} of {of}, {leave}");
        }
        let mut steady = Steady::new(3, Hysteresis { enter: 1, of: 64, leave: 1 }).unwrap();
        assert!(steady.observe(&[Label::Usual]).is_err());
        assert_eq!(steady.observe(&[Label::Outlier; 3]).unwrap().len(), 3);
    }
}
