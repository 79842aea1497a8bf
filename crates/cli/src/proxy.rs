//! `countersign proxy`: a local address without tokens for each database, and the commands that
//! control a running proxy.

mod administration;
mod check;
mod client_commands;
mod config;
pub(crate) mod duration;
mod http;
mod launch;
mod log;
mod options;
mod plan;
mod ready;
mod serve;
mod session;
mod status;
mod systemd;
mod watch;

use std::process::ExitCode;

use countersign_core::failure::Failure;

use options::Request;
pub(crate) use session::{Session, open};

const EXAMPLES: &str = "Examples:
  countersign proxy postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders
  countersign proxy --port 6000 postgres://app@db1.example.com mysql://app@db2.example.com
  countersign proxy 'postgres://jane@localhost:15432?sign-host=mydb.abc.eu-west-1.rds.amazonaws.com'
  countersign proxy 'mysql://app@mydb…?port=3310&profile=dev&role=arn:aws:iam::111122223333:role/db'
  countersign proxy --health-check --prometheus       # all targets of countersign.toml
  countersign proxy orders billing                    # two of them

Parameters of a URL: name, address, port, unix-socket, unix-socket-path, sign-host, region, profile,
role (repeated for a chain), external-id, session-name, sslmode or ssl-mode, sslrootcert or ssl-ca,
target_session_attrs, max-connections, connect-timeout, session-timeout, min-idle, password-file,
password-env, client-password-file, client-password-env.
They override flags, flags override the environment, and both override the file. The proxy reloads
the file on SIGHUP and when it changes. After SIGTERM and Ctrl-C it exits with status 143 and 130.";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    start: Start,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Wait until a proxy with --health-check has started
    Wait(client_commands::WaitArguments),
    /// Shut a proxy down
    Shutdown(client_commands::ShutdownArguments),
    /// Print the targets, tokens and sessions of a proxy
    Status(client_commands::StatusArguments),
    /// Print the effective configuration of a proxy, or all errors in it
    Check(Box<check::Arguments>),
}

#[derive(Debug, clap::Args)]
struct Start {
    #[command(flatten)]
    request: Request,
    /// Take the listeners over from the proxy at the admin socket, which then shuts down; no
    /// connection is refused meanwhile
    #[arg(long, help_heading = "Startup")]
    takeover: bool,
}

/// Runs `countersign proxy`.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(Command::Wait(arguments)) => client_commands::wait(&arguments),
        Some(Command::Shutdown(arguments)) => client_commands::shutdown(&arguments),
        Some(Command::Status(arguments)) => client_commands::status(&arguments),
        Some(Command::Check(arguments)) => check::run(&arguments),
        None => serve::run(arguments.start.request, arguments.start.takeover),
    }
}
