//! `countersign local`: database servers on this machine that enforce IAM, with IAM users and
//! roles.

mod context;
mod environment;
mod identities;
mod instance;
mod log;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use countersign_core::failure::Failure;
use countersign_core::name::Engine;
use countersign_local::Layout;
use countersign_local::stack::{self, DownResult};

use crate::output::{self, Format};

use context::{directory, failure, unpacked};

const EXAMPLES: &str = "Examples:
  countersign local up --detach
  eval \"$(countersign local env)\"
  PGPASSWORD=$(countersign token --hostname $PGHOST --port $PGPORT --username $PGUSER) psql
  countersign local user revoke app      # now logins as app are denied
  countersign local log
  countersign local down --wipe";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Directory of the stack [default: COUNTERSIGN_LOCAL_DIR, otherwise /var/lib/countersign/local
    /// for root, otherwise ~/.local/state/countersign/local]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start the authority and the servers, and run until Ctrl-C
    Up(up::Arguments),
    /// Install a server version that this system's release lacks
    Install(up::InstallArguments),
    /// Print environment variables for AWS and database clients, for a shell to evaluate
    Env(environment::Arguments),
    /// Show the stack's servers and their state
    Status {
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Stop the stack
    Down {
        /// Delete all data of the stack
        #[arg(long)]
        wipe: bool,
    },
    /// Create and change IAM users, each with a database user
    #[command(subcommand)]
    User(identities::UserCommand),
    /// Create and change IAM roles, each with a database user
    #[command(subcommand)]
    Role(identities::RoleCommand),
    /// Attach servers outside of the stack, so that they use its verifier
    #[command(subcommand)]
    Instance(instance::Command),
    /// Show login decisions and their reasons
    Log(log::Arguments),
    /// Open psql as the server's superuser
    Psql(environment::ClientArguments),
    /// Open mariadb or mysql as the server's administrator
    Mysql(environment::ClientArguments),
}

/// Runs `countersign local`.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let layout = Layout::new(&directory(arguments.dir)?).map_err(|error| failure(&error))?;
    match arguments.command {
        Command::Up(arguments) => up::run(&layout, &arguments),
        Command::Install(arguments) => up::install(&arguments),
        Command::Env(arguments) => environment::run(&layout, &arguments),
        Command::Status { output } => status::run(&layout, output),
        Command::Down { wipe } => down(&layout, wipe),
        Command::User(command) => identities::user(&layout, &command),
        Command::Role(command) => identities::role(&layout, &command),
        Command::Instance(command) => instance::run(&layout, &command),
        Command::Log(arguments) => log::run(&layout, &arguments),
        Command::Psql(arguments) => environment::client(&layout, &arguments, &[Engine::Postgres]),
        Command::Mysql(arguments) => {
            environment::client(&layout, &arguments, &[Engine::Mariadb, Engine::Mysql])
        }
    }
}

fn down(layout: &Layout, wipe: bool) -> Result<ExitCode, Failure> {
    match stack::down(layout, &unpacked(), wipe).map_err(|error| failure(&error))? {
        DownResult::NothingFound => {
            output::note(&format!("no stack runs in {}", layout.root().display()))
        }
        DownResult::Stopped if wipe => {
            output::note(&format!("stopped and deleted {}", layout.root().display()))
        }
        DownResult::Stopped => {
            output::note(&format!("stopped; data kept in {}", layout.root().display()))
        }
    }
    Ok(ExitCode::SUCCESS)
}
