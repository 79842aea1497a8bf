//! `countersign authority`: the authority without a local stack, and the state that it starts from.

mod serve;

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use countersign_authority::import_export::{
    Change, ChangeKind, CreatedAccessKey, ExportSecrets, ImportError, ImportMode, ImportSummary,
    MAX_SIZE, StateExport, import,
};
use countersign_authority::store::{Location, PostgresLocation, Store};
use countersign_aws_api::server::state_directory;
use countersign_core::credentials::Secret;
use countersign_core::failure::{Class, Failure};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::io_failure;
use crate::output::{self, Format};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the authority, for database servers of your own, until it is told to end
    Serve(serve::Arguments),
    /// Apply a file of accounts, users, roles, policies and instances: what is so already is left alone, nothing is taken away
    Import(ImportArguments),
    /// Print the state as such a file
    Export(ExportArguments),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file is TOML, or JSON of the same fields, or the output of `aws iam get-account-authorization-details`.
A running authority need not be stopped: what is imported counts for the next login.

Examples:
  countersign authority import state.toml --dry-run
  aws iam get-account-authorization-details | countersign authority import -
  countersign authority import people.toml --store /var/lib/countersign/local/authority   # of `local up`"
)]
pub(crate) struct ImportArguments {
    /// The file; - is standard input
    file: String,
    #[command(flatten)]
    store: StoreArgument,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign authority export > state.toml
  (umask 077; countersign authority export --with-secrets > backup.toml)
  countersign authority export --output json | jq '.users[].name'")]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    store: StoreArgument,
    /// Print the secrets of access keys too: whoever reads them is whom they belong to
    #[arg(long)]
    with_secrets: bool,
    /// TOML for people, or JSON
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// `--store`
#[derive(Debug, clap::Args)]
struct StoreArgument {
    /// Where the authority's state lies: a directory, or postgres://USER@HOST/DATABASE, with the password in PGPASSWORD
    /// [default: /var/lib/countersign/authority for root, else ~/.local/state/countersign/authority]
    #[arg(long = "store", value_name = "DIR|URL", env = "COUNTERSIGN_STORE")]
    place: Option<Location>,
}

impl StoreArgument {
    /// The place given; or root's directory, or the user's own. What is not the state lies in a directory in any case.
    fn place(&self) -> Result<Place, Failure> {
        match &self.place {
            Some(Location::Postgres(location)) => {
                let password = env::var("PGPASSWORD").ok().and_then(Secret::new);
                let location = PostgresLocation { password, ..PostgresLocation::clone(location) };
                Ok(Place {
                    store: Location::Postgres(Box::new(location)),
                    directory: usual_directory()?,
                })
            }
            Some(Location::Directory(directory)) => Place::of(directory.clone()),
            None => Place::of(usual_directory()?),
        }
    }

    /// Opens the store that is there; `make` one where there is none.
    fn open(&self, make: bool) -> Result<Store, Failure> {
        let place = self.place()?;
        if let (false, Location::Directory(state)) = (make, &place.store)
            && !state.is_dir()
        {
            let what = format!(
                "there is no state in {}: name its directory with --store",
                place.directory.display()
            );
            return Err(Failure::new(Class::Configuration, what));
        }
        Store::open_at(&place.store)
            .map_err(|error| Failure::new(Class::Configuration, error.to_string()))
    }
}

/// Where the state lies, and where everything else.
struct Place {
    store: Location,
    directory: PathBuf,
}

impl Place {
    fn of(directory: PathBuf) -> Result<Self, Failure> {
        let directory = std::path::absolute(&directory)
            .map_err(|error| io_failure(&directory.display().to_string(), &error))?;
        Ok(Self { store: Location::Directory(state_directory(&directory)), directory })
    }
}

fn usual_directory() -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/countersign/authority"));
    }
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let directory = state.map(|state| state.join("countersign/authority"));
    directory.ok_or_else(|| {
        Failure::new(Class::Configuration, "there is no home directory: pass --store")
    })
}

/// Runs the command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Import(arguments) => take(arguments),
        Command::Export(arguments) => give(arguments),
    }
}

fn take(arguments: &ImportArguments) -> Result<ExitCode, Failure> {
    let text = read(&arguments.file)?;
    let mode = if arguments.dry_run { ImportMode::DryRun } else { ImportMode::Apply };
    let store = arguments.store.open(true)?;
    let outcome = import(&store, &text, mode, SystemTime::now())
        .map_err(|error| refusal(&arguments.file, &error))?;
    match arguments.output {
        Format::Json => output::json(&value(&outcome, mode))?,
        Format::Text => output::line(&describe(&outcome, mode))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn give(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let internal = |error: &dyn std::fmt::Display| {
        Failure::new(Class::Internal, format!("the state can't be written: {error}"))
    };
    let state = arguments
        .store
        .open(false)?
        .state()
        .map_err(|error| Failure::new(Class::Configuration, error.to_string()))?;
    let secrets =
        if arguments.with_secrets { ExportSecrets::Included } else { ExportSecrets::Omitted };
    let exported = StateExport::new(&state, secrets);
    match arguments.output {
        Format::Json => output::json(&exported)?,
        Format::Text => output::line(
            Zeroizing::new(exported.to_toml().map_err(|error| internal(&error))?).trim_end(),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of a file that may hold secrets, or of standard input for `-`.
fn read(file: &str) -> Result<Zeroizing<String>, Failure> {
    let bound = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Zeroizing::new(String::new());
    let read = match file {
        "-" => std::io::stdin().lock().take(bound).read_to_string(&mut text),
        _ => std::fs::File::open(Path::new(file))
            .and_then(|opened| opened.take(bound).read_to_string(&mut text)),
    };
    // One that is longer is read one byte beyond the bound, which then refuses it.
    read.map(|_| text).map_err(|error| io_failure(file, &error))
}

fn refusal(file: &str, error: &ImportError) -> Failure {
    let name = if file == "-" { "standard input" } else { file };
    match error {
        ImportError::InvalidFile(mistakes) => {
            Failure::new(Class::Configuration, format!("{name} is refused\n{mistakes}"))
        }
        ImportError::Store(error) => Failure::new(Class::Configuration, error.to_string()),
    }
}

fn describe(outcome: &ImportSummary, mode: ImportMode) -> String {
    let verb = |done| match (done, mode) {
        (ChangeKind::Created, ImportMode::Apply) => "created",
        (ChangeKind::Changed, ImportMode::Apply) => "changed",
        (ChangeKind::Created, ImportMode::DryRun) => "would create",
        (ChangeKind::Changed, ImportMode::DryRun) => "would change",
    };
    let line = |change: &Change| {
        output::plain(&format!("{} {} {}", verb(change.action), change.kind, change.name))
    };
    let count = |done| outcome.changes.iter().filter(|change| change.action == done).count();
    let (created, changed) = (count(ChangeKind::Created), count(ChangeKind::Changed));
    let total = format!(
        "{created} {}, {changed} {}, {} so already",
        verb(ChangeKind::Created),
        verb(ChangeKind::Changed),
        outcome.unchanged
    );
    let key = |key: &CreatedAccessKey| {
        format!(
            "\nfor {}:\n  aws_access_key_id = {}\n  aws_secret_access_key = {}",
            output::plain(&key.user),
            key.id,
            key.secret.as_str()
        )
    };
    let keys = outcome.keys.iter().map(key).collect::<String>();
    outcome.changes.iter().map(line).chain([total + &keys]).collect::<Vec<_>>().join("\n")
}

fn value(outcome: &ImportSummary, mode: ImportMode) -> Value {
    let key = |key: &CreatedAccessKey| json!({"user": key.user, "access_key_id": key.id, "secret_access_key": key.secret.as_str()});
    json!({
        "dry_run": mode == ImportMode::DryRun,
        "changes": outcome.changes,
        "unchanged": outcome.unchanged,
        "access_keys": outcome.keys.iter().map(key).collect::<Vec<_>>(),
    })
}
