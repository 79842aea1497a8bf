//! `countersign local`: real servers on this machine that enforce IAM, and people to try them with.

mod environment;
mod instance;
mod log;
mod people;
mod up;

pub(crate) use up::beside;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::failure::{Class, Failure, exit};
use countersign_core::name::{Engine, InstanceId};
use countersign_local::identities::Identities;
use countersign_local::stack::{self, DownResult};
use countersign_local::state::{InstanceSelector, State};
use countersign_local::{Layout, LocalError};

use crate::output::{self, Format};

const EXAMPLES: &str = "Examples:
  countersign local up --detach
  eval \"$(countersign local env)\"
  PGPASSWORD=$(countersign token --hostname $PGHOST --port $PGPORT --username $PGUSER) psql
  countersign local user revoke app      # and try again
  countersign local log
  countersign local down --wipe";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory that the stack lives in [default: COUNTERSIGN_LOCAL_DIR, else /var/lib/countersign/local for root, else
    /// ~/.local/state/countersign/local]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start the authority and the servers, and stay until Ctrl-C
    Up(up::Arguments),
    /// Unpack a server that this system's release does not have
    Install(up::InstallArguments),
    /// Print the variables that AWS clients and a database client need, for a shell to evaluate
    Env(environment::Arguments),
    /// Show what runs
    Status {
        /// How it is printed
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Stop everything
    Down {
        /// Take all data away too
        #[arg(long)]
        wipe: bool,
    },
    /// Make and change IAM users, each with a database user
    #[command(subcommand)]
    User(people::UserCommand),
    /// Make and change IAM roles, each with a database user
    #[command(subcommand)]
    Role(people::RoleCommand),
    /// Attach servers that somebody else runs, so that they ask this stack
    #[command(subcommand)]
    Instance(instance::Command),
    /// Show who was let in, who was not, and why
    Log(log::Arguments),
    /// Open psql as the server's superuser
    Psql(environment::ClientArguments),
    /// Open mariadb or mysql as the server's administrator
    Mysql(environment::ClientArguments),
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let layout = Layout::new(&directory(arguments.dir)?).map_err(|error| failure(&error))?;
    match arguments.command {
        Command::Up(arguments) => up::run(&layout, &arguments),
        Command::Install(arguments) => up::install(&arguments),
        Command::Env(arguments) => environment::run(&layout, &arguments),
        Command::Status { output } => status(&layout, output),
        Command::Down { wipe } => down(&layout, wipe),
        Command::User(command) => people::user(&layout, &command),
        Command::Role(command) => people::role(&layout, &command),
        Command::Instance(command) => instance::run(&layout, &command),
        Command::Log(arguments) => log::run(&layout, &arguments),
        Command::Psql(arguments) => environment::client(&layout, &arguments, &[Engine::Postgres]),
        Command::Mysql(arguments) => {
            environment::client(&layout, &arguments, &[Engine::Mariadb, Engine::Mysql])
        }
    }
}

/// The directory given, absolute; or root's, or the user's own.
fn directory(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |name: &str, below: &str| set(name).map(|home| home.join(below));
    let named = given.or_else(|| set("COUNTERSIGN_LOCAL_DIR"));
    let chosen = match named {
        Some(directory) => directory,
        None if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/countersign/local"),
        None => home("XDG_STATE_HOME", "countersign/local")
            .or_else(|| home("HOME", ".local/state/countersign/local"))
            .ok_or_else(|| {
                Failure::new(Class::Configuration, "there is no home directory: pass --dir")
            })?,
    };
    std::path::absolute(&chosen).map_err(|error| {
        Failure::new(Class::Configuration, format!("{}: {error}", chosen.display()))
    })
}

/// Where newer servers are unpacked: the machine's cache, since they are the same for every stack.
fn unpacked() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match set("COUNTERSIGN_SERVERS_DIR") {
        Some(directory) => directory,
        // A server runs as another user than root, who can't enter root's home.
        None if rustix::process::geteuid().is_root() => {
            PathBuf::from("/var/cache/countersign/servers")
        }
        None => set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .unwrap_or_default()
            .join("countersign/servers"),
    }
}

fn failure(error: &LocalError) -> Failure {
    Failure::new(error.class(), error.to_string())
}

/// Does `work` with the people of the stack that runs.
fn with_people<T>(
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    with_people_of(State::read_running, layout, work)
}

/// The same with the store that they are in.
fn with_store<T>(
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State, &Store) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    let administer = || {
        let state = State::read_running(layout)?;
        let store = Store::open(&state_directory(&layout.authority()))?;
        work(&Identities::new(layout, &state, &store, &unpacked()), &state, &store)
    };
    administer().map_err(|error| failure(&error))
}

/// The same with those of the stack that `find` finds.
fn with_people_of<T>(
    find: impl FnOnce(&Layout) -> Result<State, LocalError>,
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    let administer = || {
        let state = find(layout)?;
        let store = Store::open(&state_directory(&layout.authority()))?;
        work(&Identities::new(layout, &state, &store, &unpacked()), &state)
    };
    administer().map_err(|error| failure(&error))
}

fn status(layout: &Layout, format: Format) -> Result<ExitCode, Failure> {
    let state = match State::read_running(layout) {
        Ok(state) => state,
        Err(LocalError::NotRunning(_)) => {
            match format {
                Format::Json => {
                    output::json(&serde_json::json!({"running": false, "dir": layout.root()}))?
                }
                Format::Text => {
                    output::line(&format!("nothing runs in {}", layout.root().display()))?
                }
            }
            return Ok(ExitCode::from(exit::DENIED));
        }
        Err(error) => return Err(failure(&error)),
    };
    let (running, attached) = with_people(layout, |people, state| {
        let running = state
            .instances
            .iter()
            .map(|instance| people.is_running(instance))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((running, people.attached()?))
    })?;
    match format {
        Format::Json => {
            let mut value = serde_json::to_value(&state)
                .map_err(|error| Failure::new(Class::Internal, error.to_string()))?;
            if let Some(object) = value.as_object_mut() {
                object.insert("running".to_owned(), true.into());
                object
                    .insert("attached".to_owned(), attached.iter().map(instance::value).collect());
            }
            let instances = value.get_mut("instances").and_then(serde_json::Value::as_array_mut);
            for (instance, running) in instances.into_iter().flatten().zip(&running) {
                if let Some(object) = instance.as_object_mut() {
                    object.insert("running".to_owned(), (*running).into());
                }
            }
            output::json(&value)?;
        }
        Format::Text => {
            output::line(&describe(&state, &running))?;
            if !attached.is_empty() {
                output::line(&format!(
                    "\nattached, asking at {}:\n{}",
                    state.socket.display(),
                    instance::table(&attached)
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The servers as a table, and what they ask by.
fn describe(state: &State, running: &[bool]) -> String {
    let heading =
        ["INSTANCE", "VERSION", "ADDRESS", "RESOURCE ID", "ASKS BY"].map(str::to_owned).to_vec();
    let rows = state.instances.iter().enumerate().map(|(at, instance)| {
        let asks = match &instance.reason {
            Some(why) => format!("{} ({why})", instance.authentication.as_str()),
            None => instance.authentication.as_str().to_owned(),
        };
        let stopped = if running.get(at) == Some(&false) { "STOPPED, asks by " } else { "" };
        let address = format!("{}:{}", instance.host, instance.port);
        let version = format!("{} {}", instance.engine, instance.version);
        vec![
            instance.instance.to_string(),
            version,
            address,
            instance.resource_id.to_string(),
            format!("{stopped}{asks}"),
        ]
    });
    let table = output::columns(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let skipped = state
        .skipped
        .iter()
        .map(|left| format!("\nleft out: {}: {}", left.instance, left.reason))
        .collect::<String>();
    let allowed = if state.allowed_users.is_empty() {
        String::new()
    } else {
        format!("\nmay ask too: {}", state.allowed_users.join(", "))
    };
    format!(
        "{table}{skipped}{allowed}\naccount {}, region {}, CA {}",
        state.account,
        state.region,
        state.ca.display()
    )
}

fn down(layout: &Layout, wipe: bool) -> Result<ExitCode, Failure> {
    match stack::down(layout, &unpacked(), wipe).map_err(|error| failure(&error))? {
        DownResult::NothingFound => {
            output::note(&format!("there is nothing to stop in {}", layout.root().display()))
        }
        DownResult::Stopped if wipe => {
            output::note(&format!("stopped, and wiped {}", layout.root().display()))
        }
        DownResult::Stopped => {
            output::note(&format!("stopped; the data stays in {}", layout.root().display()))
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `--instance` and `--engine`, in the commands that speak to one server.
#[derive(Debug, clap::Args)]
struct InstanceArgument {
    /// Which server, where there are several [default: the first]
    #[arg(long, value_name = "NAME")]
    instance: Option<InstanceId>,
    /// The first server of this engine: postgres, mariadb or mysql
    #[arg(long, value_name = "ENGINE", conflicts_with = "instance")]
    engine: Option<Engine>,
}

impl InstanceArgument {
    /// What was named, or else the first server of `engines`, or of all where none is given.
    fn which(&self, engines: &[Engine]) -> InstanceSelector {
        match (&self.instance, self.engine) {
            (Some(name), _) => InstanceSelector::Named(name.clone()),
            (None, Some(engine)) => InstanceSelector::Of(vec![engine]),
            (None, None) if engines.is_empty() => InstanceSelector::First,
            (None, None) => InstanceSelector::Of(engines.to_vec()),
        }
    }
}
