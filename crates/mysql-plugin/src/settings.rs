//! What the plugin was loaded with, and the verifier that it means.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_core::failure::{Class, Failure};
use countersign_verifier_client::{SettingError, Settings, Verifier};

/// From the time that the plugin is loaded until it is unloaded.
static VERIFIER: RwLock<Option<Arc<Verifier>>> = RwLock::new(None);

/// Takes the values of the system variables; all that is wrong with them is reported at once.
pub(crate) fn take(values: &[(String, String)]) -> Result<(), Failure> {
    let verifier = read(values)?.verifier()?;
    *VERIFIER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(verifier));
    Ok(())
}

/// The verifier to ask.
pub(crate) fn verifier() -> Result<Arc<Verifier>, Failure> {
    let verifier = VERIFIER.read().unwrap_or_else(PoisonError::into_inner).clone();
    verifier
        .ok_or_else(|| Failure::new(Class::Internal, "the plugin is called while it is not loaded"))
}

/// Leaves nothing behind.
pub(crate) fn forget() {
    *VERIFIER.write().unwrap_or_else(PoisonError::into_inner) = None;
}

fn read(values: &[(String, String)]) -> Result<Settings, Failure> {
    let pairs: Vec<(&str, &str)> =
        values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Settings::parse(&pairs).map_err(|mistakes| {
        let mistakes: Vec<String> = mistakes.iter().map(spelled).collect();
        let detail = format!(
            "{}; the lines belong in the section [mysqld] of the server's option file",
            mistakes.join("; ")
        );
        Failure::new(Class::Configuration, detail)
    })
}

/// As a line of an option file has it.
fn spelled(mistake: &SettingError) -> String {
    let option = format!("awsauthenticationplugin-{}", mistake.name.replace('_', "-"));
    match &mistake.value {
        Some(value) => format!("{option} = {value:?}: {}", mistake.reason),
        None => format!("{option} {}", mistake.reason),
    }
}

#[cfg(test)]
mod tests;
