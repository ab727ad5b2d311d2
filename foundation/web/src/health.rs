//! Health: what a part says about itself, asked with a bound.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

/// A check that takes longer than this counts as down: a probe that hangs is no answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does all it should.
    Ready,
    /// It works, but something is missing; the text says what and the mend.
    Degraded(String),
    /// It does not work; the text says why and the mend.
    Down(String),
}

/// Asks a part how it is.
#[derive(Clone)]
pub struct HealthCheck(Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>);

impl HealthCheck {
    /// A check from an async function.
    pub fn new<F, R>(check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Health> + Send + 'static,
    {
        Self(Arc::new(move || check().boxed()))
    }

    /// A part without outer needs, ready whenever the process answers.
    pub fn always_ready() -> Self {
        Self::new(|| async { Health::Ready })
    }

    pub(crate) async fn ask(&self) -> Health {
        match tokio::time::timeout(CHECK_TIMEOUT, (self.0)()).await {
            Ok(health) => health,
            Err(_) => Health::Down(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
        }
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HealthCheck")
    }
}
