//! What a stack's authority knows from the start: a file that is shipped, or the owner's own.

use std::time::SystemTime;

use countersign_authority::import_export::{ImportError, ImportMode, ImportSummary, import};
use countersign_authority::store::Store;
use countersign_core::name::AccountId;
use countersign_core::region::Region;

use crate::LocalError;

/// The file that is shipped, with its comments.
pub const DEFAULT: &str = include_str!("seed/default.toml");

/// What stands in a file in braces, and is known only when a stack starts.
#[derive(Debug, Clone, Copy)]
pub struct TemplateVars<'a> {
    /// `{account}`
    pub account: &'a AccountId,
    /// `{partition}` is this region's.
    pub region: &'a Region,
    /// `{issuer}`, and without its scheme `{issuer_host}`.
    pub issuer: &'a str,
}

impl TemplateVars<'_> {
    /// The file with the facts in it. What else stands in braces stays as it is.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let host = self.issuer.split_once("://").map_or(self.issuer, |(_, host)| host);
        text.replace("{account}", self.account.as_str())
            .replace("{partition}", self.region.partition().as_str())
            .replace("{issuer}", self.issuer)
            .replace("{issuer_host}", host)
    }
}

/// Applies the file of a stack. The shipped one ([`None`]) is for a store that knows no user and no role yet: what its owner has
/// taken away of it since does not come back. The owner's own counts whenever a stack starts.
///
/// # Errors
/// [`LocalError::Unusable`] with every mistake in the file, [`LocalError::Store`].
pub fn apply(
    store: &Store,
    own: Option<&str>,
    facts: &TemplateVars<'_>,
    now: SystemTime,
) -> Result<ImportSummary, LocalError> {
    let state = store.state()?;
    let account = facts.account.as_str();
    let known = state.of_account::<countersign_authority::model::User>(account).next().is_some()
        || state.of_account::<countersign_authority::model::Role>(account).next().is_some();
    if own.is_none() && known {
        return Ok(ImportSummary::default());
    }
    let text = facts.render(own.unwrap_or(DEFAULT));
    import(store, &text, ImportMode::Apply, now).map_err(|error| match error {
        ImportError::Store(error) => LocalError::Store(error),
        ImportError::InvalidFile(mistakes) => {
            LocalError::Unusable(format!("the state to start from is refused\n{mistakes}"))
        }
    })
}

#[cfg(test)]
mod tests;
