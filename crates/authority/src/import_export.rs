//! Import and export of a state: one file with accounts, identities, policies and instances.
//!
//! A file is TOML, or JSON with the same fields, or the output of `aws iam
//! get-account-authorization-details`. [`import`] adds and changes the records in the file and
//! deletes none; a second import of the same file changes nothing. All errors of a file are
//! reported together, each with its location ([`Diagnostics`]), and a file with errors is not
//! applied at all.

mod account_authorization_details;
mod apply;
mod document;
mod entry;
mod export;
mod name;
mod native_format;
mod summary;
mod tags;

pub use countersign_config_file::MAX_SIZE;
pub use countersign_core::diagnostic::{Diagnostic, Diagnostics};
pub use export::{ExportSecrets, StateExport};
pub use summary::{Change, ChangeKind, CreatedAccessKey, ImportSummary};

use std::time::SystemTime;

use crate::store::{Store, StoreError};
use countersign_config_file::DiagnosticSink;

/// Mode of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Applies the changes in one transaction.
    Apply,
    /// Computes the changes without writing them.
    DryRun,
}

/// Reason for which nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file has errors.
    #[error("{0}")]
    InvalidFile(Diagnostics),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Imports the file with the content `text`.
///
/// # Errors
/// [`ImportError`]; nothing is changed then.
pub fn import(
    store: &Store,
    text: &str,
    mode: ImportMode,
    now: SystemTime,
) -> Result<ImportSummary, ImportError> {
    let report = DiagnosticSink::default();
    let Some(root) = countersign_config_file::read(text, &report) else {
        return report
            .finish()
            .map(|()| ImportSummary::default())
            .map_err(ImportError::InvalidFile);
    };
    let entries = if account_authorization_details::is_details(&root) {
        account_authorization_details::read(&root, &report)
    } else {
        native_format::read(&root, &report)
    };
    let done = store.change(|draft| {
        // The transaction may run again on a newer state, in which other references may be missing.
        let report = report.clone();
        let summary = apply::apply(&entries, draft, &report, now)?;
        report.finish().map_err(Abort::Mistakes)?;
        match mode {
            ImportMode::Apply => Ok(summary),
            ImportMode::DryRun => Err(Abort::DryRun(summary)),
        }
    });
    match done {
        Ok(summary) => Ok(summary),
        Err(Abort::DryRun(summary)) => Ok(summary.without_keys()),
        Err(Abort::Mistakes(errors)) => Err(ImportError::InvalidFile(errors)),
        Err(Abort::Store(error)) => Err(ImportError::Store(error)),
    }
}

/// Reason to abort the transaction.
enum Abort {
    Mistakes(Diagnostics),
    Store(StoreError),
    DryRun(ImportSummary),
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests;
