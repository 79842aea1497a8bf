//! Initial state of a stack's authority: the built-in file, or one of the operator.

use std::time::SystemTime;

use countersign_authority::import_export::{ImportError, ImportMode, ImportSummary, import};
use countersign_authority::store::Store;
use countersign_core::name::AccountId;
use countersign_core::region::Region;

use crate::LocalError;

/// Built-in file, with its comments.
pub const DEFAULT: &str = include_str!("seed/default.toml");

/// Values of the placeholders in a seed file, known when a stack starts.
#[derive(Debug, Clone, Copy)]
pub struct TemplateVars<'a> {
    /// Value of `{account}`.
    pub account: &'a AccountId,
    /// Region: value of `{region}`, and its partition of `{partition}`.
    pub region: &'a Region,
    /// Value of `{issuer}`, and without its scheme of `{issuer_host}`.
    pub issuer: &'a str,
}

impl TemplateVars<'_> {
    /// Replaces the placeholders. Other text in braces stays as it is.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let host = self.issuer.split_once("://").map_or(self.issuer, |(_, host)| host);
        text.replace("{account}", self.account.as_str())
            .replace("{partition}", self.region.partition().as_str())
            .replace("{issuer}", self.issuer)
            .replace("{issuer_host}", host)
    }
}

/// Applies a seed file to the store.
///
/// The built-in file (`None`) is applied only to a store without users and roles, so that what the
/// operator deleted does not come back. The operator's own file is applied at every start.
///
/// # Errors
/// [`LocalError::Unusable`] with every error in the file, [`LocalError::Store`].
pub fn apply(
    store: &Store,
    seed_file: Option<&str>,
    vars: &TemplateVars<'_>,
    now: SystemTime,
) -> Result<ImportSummary, LocalError> {
    let state = store.state()?;
    let account = vars.account.as_str();
    let known = state.of_account::<countersign_authority::model::User>(account).next().is_some()
        || state.of_account::<countersign_authority::model::Role>(account).next().is_some();
    if seed_file.is_none() && known {
        return Ok(ImportSummary::default());
    }
    let text = vars.render(seed_file.unwrap_or(DEFAULT));
    import(store, &text, ImportMode::Apply, now).map_err(|error| match error {
        ImportError::Store(error) => LocalError::Store(error),
        ImportError::InvalidFile(mistakes) => {
            LocalError::Unusable(format!("cannot apply the seed file:\n{mistakes}"))
        }
    })
}

#[cfg(test)]
mod tests;
