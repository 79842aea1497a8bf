//! A state to start from: one readable file, of accounts, people, policies and instances, applied to the store and written from it.
//!
//! A file is TOML, or JSON of the same fields; or the output of `aws iam get-account-authorization-details`. [`import`] adds what it
//! says and takes nothing away: the second time it changes nothing. Everything that is wrong with a file is said at once, each
//! with its place ([`Mistakes`]), and nothing of it is applied then.

mod account_authorization_details;
mod apply;
mod document;
mod entry;
mod export;
mod name;
mod native_format;
mod outcome;
mod tags;

pub use countersign_config_file::{ConfigError, ConfigErrors, MAX_SIZE};
pub use export::{ExportSecrets, StateExport};
pub use outcome::{Change, ChangeKind, CreatedAccessKey, ImportSummary};

use std::time::SystemTime;

use crate::store::{Store, StoreError};
use countersign_config_file::DiagnosticSink;

/// Whether an import is for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// It is applied, in one transaction.
    Apply,
    /// It is worked out, and nothing is written.
    DryRun,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There are mistakes in the file.
    #[error("{0}")]
    InvalidFile(ConfigErrors),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Applies the file whose text is `text`.
///
/// # Errors
/// [`ImportError`]: nothing is changed then.
pub fn import(
    store: &Store,
    text: &str,
    mode: ImportMode,
    now: SystemTime,
) -> Result<ImportSummary, ImportError> {
    let report = DiagnosticSink::default();
    let Some(root) = countersign_config_file::read(text, &report) else {
        return report
            .conclude()
            .map(|()| ImportSummary::default())
            .map_err(ImportError::InvalidFile);
    };
    let entries = if account_authorization_details::recognised(&root) {
        account_authorization_details::read(&root, &report)
    } else {
        native_format::read(&root, &report)
    };
    let done = store.change(|draft| {
        // The change may be made again on a newer state, which other references may be missing from.
        let report = report.clone();
        let outcome = apply::apply(&entries, draft, &report, now)?;
        report.conclude().map_err(Stop::Mistakes)?;
        match mode {
            ImportMode::Apply => Ok(outcome),
            ImportMode::DryRun => Err(Stop::DryRun(outcome)),
        }
    });
    match done {
        Ok(outcome) => Ok(outcome),
        Err(Stop::DryRun(outcome)) => Ok(outcome.without_keys()),
        Err(Stop::Mistakes(mistakes)) => Err(ImportError::InvalidFile(mistakes)),
        Err(Stop::Store(error)) => Err(ImportError::Store(error)),
    }
}

/// Why a change was given up.
enum Stop {
    Mistakes(ConfigErrors),
    Store(StoreError),
    DryRun(ImportSummary),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests;
