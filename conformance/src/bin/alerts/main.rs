//! The suite `alerts`: Debian's Alertmanager and ours are sent the same alerts, and must tell the same groups; amtool,
//! Prometheus and vmalert, unmodified, work with ours; a server that is killed in the middle of a group's wait tells once.

mod clients;
mod hook;
mod script;
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Alertmanager's clients and Alertmanager itself against our alerts.
#[derive(Parser)]
struct Command {
    /// Run our server, as a child of the suite
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Subcommand)]
enum Role {
    /// The telemetry department alone, until it is killed.
    Serve {
        /// Its home
        #[arg(long)]
        home: PathBuf,
        /// Alertmanager's configuration
        #[arg(long)]
        config: PathBuf,
        /// Its port
        #[arg(long)]
        port: u16,
    },
}

/// What goes wrong ends a case; the text is for a person.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match Command::parse().role {
        Some(Role::Serve { home, config, port }) => match servers::serve(&home, &config, port).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("server: {error}");
                ExitCode::FAILURE
            }
        },
        None => {
            let mut failed = 0;
            for (name, outcome) in [
                ("the same groups as Debian's Alertmanager", script::same_groups().await),
                ("killed in the middle of a group's wait, told once", script::killed_in_the_wait().await),
                ("amtool: alerts, silences, configuration", clients::amtool().await),
                ("Prometheus sends its alerts", clients::prometheus().await),
                ("vmalert sends its alerts", clients::vmalert().await),
                ("mail to Python's SMTP server", clients::mail().await),
            ] {
                match outcome {
                    Ok(said) => println!("ok    {name}: {said}"),
                    Err(error) => {
                        failed += 1;
                        println!("FAIL  {name}: {error}");
                    }
                }
            }
            println!("{failed} failed");
            if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
