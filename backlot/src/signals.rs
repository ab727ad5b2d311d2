//! The end of a server: the first SIGTERM or SIGINT asks for it, the second has it at once.

use backlot_department::CommandError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells when to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for the signals from now on. SIGHUP keeps its meaning: `nohup` sets it to be ignored.
    ///
    /// # Errors
    /// A system that refuses the handlers.
    pub(crate) fn on_signals() -> Result<Self, CommandError> {
        let failed = |error: std::io::Error| {
            CommandError::failed(
                format!("cannot listen for signals: {error}"),
                "look at this process's limits",
            )
        };
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = interrupt.recv() => SignalKind::interrupt(),
                }
            };
            let first = next().await;
            tracing::info!(signal = first.as_raw_value(), "shutting down; a second signal ends at once");
            sender.send_replace(true);
            let second = next().await;
            // What shells use for a process that a signal ended. Everything a user was told of is committed already.
            std::process::exit(128 + second.as_raw_value());
        });
        Ok(Self(receiver))
    }

    /// Waits until it is time to stop.
    pub(crate) async fn wait(mut self) {
        // The sender lives as long as the process waits for signals.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
