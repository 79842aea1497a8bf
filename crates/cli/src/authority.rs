//! `countersign authority`: runs the authority without a local stack, and imports and exports its
//! state.

mod serve;
mod store;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use countersign_authority::import_export::{
    Change, ChangeKind, CreatedAccessKey, ExportSecrets, ImportError, ImportMode, ImportSummary,
    MAX_SIZE, StateExport, import,
};
use countersign_core::failure::{Class, Failure};
use serde_json::{Value, json};
use store::StoreArgument;
use zeroize::Zeroizing;

use crate::output::{self, Format};
use crate::process::io_failure;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the authority for your own database servers until it is terminated
    Serve(serve::Arguments),
    /// Import accounts, users, roles, policies and instances from a file; nothing is deleted
    Import(ImportArguments),
    /// Print the state in the format that `import` reads
    Export(ExportArguments),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file is TOML, or JSON with the same fields, or the output of `aws iam \
     get-account-authorization-details`.
A running authority picks the changes up at the next login.

Examples:
  countersign authority import state.toml --dry-run
  aws iam get-account-authorization-details | countersign authority import -
  countersign authority import people.toml \\
    --store /var/lib/countersign/local/authority   # of `local up`"
)]
pub(crate) struct ImportArguments {
    /// File, or - for standard input
    file: String,
    #[command(flatten)]
    store: StoreArgument,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Output format
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
    /// Include the secrets of access keys; protect the output accordingly
    #[arg(long)]
    with_secrets: bool,
    /// Output format: TOML, or JSON
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `countersign authority`.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Import(arguments) => import_state(arguments),
        Command::Export(arguments) => export_state(arguments),
    }
}

fn import_state(arguments: &ImportArguments) -> Result<ExitCode, Failure> {
    let text = read_secret_text(&arguments.file)?;
    let mode = if arguments.dry_run { ImportMode::DryRun } else { ImportMode::Apply };
    let store = arguments.store.open(true)?;
    let summary = import(&store, &text, mode, SystemTime::now())
        .map_err(|error| import_failure(&arguments.file, &error))?;
    match arguments.output {
        Format::Json => output::json(&summary_json(&summary, mode))?,
        Format::Text => output::line(&summary_text(&summary, mode))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn export_state(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let internal = |error: &dyn std::fmt::Display| {
        Failure::new(Class::Internal, format!("cannot write the state: {error}"))
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

/// Reads a file that may hold secrets, or standard input for `-`.
fn read_secret_text(file: &str) -> Result<Zeroizing<String>, Failure> {
    let bound = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Zeroizing::new(String::new());
    let read = match file {
        "-" => std::io::stdin().lock().take(bound).read_to_string(&mut text),
        _ => std::fs::File::open(Path::new(file))
            .and_then(|opened| opened.take(bound).read_to_string(&mut text)),
    };
    // A longer file is read one byte beyond the limit, so that the parser rejects it.
    read.map(|_| text).map_err(|error| io_failure(file, &error))
}

fn import_failure(file: &str, error: &ImportError) -> Failure {
    let name = if file == "-" { "standard input" } else { file };
    match error {
        ImportError::InvalidFile(errors) => {
            Failure::new(Class::Configuration, format!("cannot import {name}:\n{errors}"))
        }
        ImportError::Store(error) => Failure::new(Class::Configuration, error.to_string()),
    }
}

fn summary_text(summary: &ImportSummary, mode: ImportMode) -> String {
    let verb = |done| match (done, mode) {
        (ChangeKind::Created, ImportMode::Apply) => "created",
        (ChangeKind::Changed, ImportMode::Apply) => "changed",
        (ChangeKind::Created, ImportMode::DryRun) => "would create",
        (ChangeKind::Changed, ImportMode::DryRun) => "would change",
    };
    let line = |change: &Change| {
        output::escape_control(&format!("{} {} {}", verb(change.action), change.kind, change.name))
    };
    let count = |kind| summary.changes.iter().filter(|change| change.action == kind).count();
    let (created, changed) = (count(ChangeKind::Created), count(ChangeKind::Changed));
    let total = format!(
        "{created} {}, {changed} {}, {} unchanged",
        verb(ChangeKind::Created),
        verb(ChangeKind::Changed),
        summary.unchanged
    );
    let key = |key: &CreatedAccessKey| {
        format!(
            "\nfor {}:\n  aws_access_key_id = {}\n  aws_secret_access_key = {}",
            output::escape_control(&key.user),
            key.id,
            key.secret.as_str()
        )
    };
    let keys = summary.keys.iter().map(key).collect::<String>();
    summary.changes.iter().map(line).chain([total + &keys]).collect::<Vec<_>>().join("\n")
}

fn summary_json(summary: &ImportSummary, mode: ImportMode) -> Value {
    let key = |key: &CreatedAccessKey| {
        json!({
            "user": key.user,
            "access_key_id": key.id,
            "secret_access_key": key.secret.as_str(),
        })
    };
    json!({
        "dry_run": mode == ImportMode::DryRun,
        "changes": summary.changes,
        "unchanged": summary.unchanged,
        "access_keys": summary.keys.iter().map(key).collect::<Vec<_>>(),
    })
}
