//! `countersign proxy`: a plain local address for each database, and the commands around it.

mod administration;
mod check;
mod client_commands;
mod config;
pub(crate) mod duration;
mod http;
mod launch;
mod log;
mod notify;
mod options;
mod plan;
mod ready;
mod serve;
mod session;
mod status;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use countersign_core::failure::{Class, Failure};

pub(crate) use session::{Session, open};

const EXAMPLES: &str = "Examples:
  countersign proxy postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders
  countersign proxy --port 6000 postgres://app@db1.example.com mysql://app@db2.example.com
  countersign proxy 'postgres://jane@localhost:15432?sign-host=mydb.abc.eu-west-1.rds.amazonaws.com'
  countersign proxy 'mysql://app@mydb…?port=3310&profile=prod&role=arn:aws:iam::111122223333:role/db'
  countersign proxy --health-check --prometheus       # every target of countersign.toml
  countersign proxy orders billing                    # two of them

A URL's parameters: name, address, port, unix-socket, unix-socket-path, sign-host, region, profile,
role (again for a chain), external-id, session-name, sslmode or ssl-mode, sslrootcert or ssl-ca,
target_session_attrs, max-connections, connect-timeout, session-timeout, min-idle, password-file,
password-env, client-password-file, client-password-env.
They go before flags, flags before the environment, and that before the file. SIGHUP, or a change of
the file, has it read again; SIGTERM and Ctrl-C end the proxy, with status 143 and 130.";

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
    /// Ask a proxy to end
    Shutdown(client_commands::ShutdownArguments),
    /// Show the targets, tokens and sessions of a proxy
    Status(client_commands::StatusArguments),
    /// Say what a proxy would do, or everything that is wrong with its settings
    Check(Box<check::Arguments>),
}

#[derive(Debug, clap::Args)]
struct Start {
    #[command(flatten)]
    request: Request,
    /// Take the listeners over from the proxy that has the admin socket: it ends, and nobody is refused meanwhile
    #[arg(long, help_heading = "Start")]
    takeover: bool,
}

/// What a proxy is asked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Request {
    /// Databases, by URL or by their names in countersign.toml [default: all that it has]
    #[arg(value_name = "URL|NAME")]
    targets: Vec<String>,
    /// The file of settings [default: ./countersign.toml, else countersign/countersign.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, short, value_name = "FILE", env = "COUNTERSIGN_PROXY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: options::Options,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(Command::Wait(arguments)) => client_commands::wait(&arguments),
        Some(Command::Shutdown(arguments)) => client_commands::shutdown(&arguments),
        Some(Command::Status(arguments)) => client_commands::report(&arguments),
        Some(Command::Check(arguments)) => check::run(&arguments),
        None => serve::run(arguments.start.request, arguments.start.takeover),
    }
}

/// A variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is asked for, worked out in this environment.
fn plan(
    request: &Request,
    before: Option<&countersign_proxy::settings::Settings>,
) -> Result<plan::Plan, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::new(Class::Configuration, format!("the working directory: {error}"))
    })?;
    plan::make(request, plan::Environment { working_directory: &here, variable: &variable }, before)
}
