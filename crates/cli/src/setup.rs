//! `countersign setup`: prints or applies plans for your own database servers.

mod plugin;
mod proposal;

use std::process::ExitCode;

use countersign_core::failure::Failure;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install AWSAuthenticationPlugin in a MariaDB or MySQL server on this machine, or remove it
    Plugin(plugin::Arguments),
}

/// Runs `countersign setup`.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Plugin(arguments) => plugin::run(arguments),
    }
}
