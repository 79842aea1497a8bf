//! Settings of the loaded plugin, and its verifier.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_core::failure::{Class, Failure};
use countersign_verifier_client::{SettingError, Settings, Verifier};

/// Set while the plugin is loaded.
static VERIFIER: RwLock<Option<Arc<Verifier>>> = RwLock::new(None);

/// Configures the verifier from the system variables and reports all errors at once.
pub(crate) fn load(values: &[(String, String)]) -> Result<(), Failure> {
    let verifier = parse(values)?.verifier()?;
    *VERIFIER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(verifier));
    Ok(())
}

/// Returns the configured verifier.
pub(crate) fn verifier() -> Result<Arc<Verifier>, Failure> {
    let verifier = VERIFIER.read().unwrap_or_else(PoisonError::into_inner).clone();
    verifier.ok_or_else(|| Failure::new(Class::Internal, "the plugin was called while not loaded"))
}

/// Drops the verifier when the plugin is unloaded.
pub(crate) fn unload() {
    *VERIFIER.write().unwrap_or_else(PoisonError::into_inner) = None;
}

fn parse(values: &[(String, String)]) -> Result<Settings, Failure> {
    let pairs: Vec<(&str, &str)> =
        values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Settings::parse(&pairs).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(option_error).collect();
        let detail = format!(
            "{}; set options in the section [mysqld] of the server's option file",
            errors.join("; ")
        );
        Failure::new(Class::Configuration, detail)
    })
}

/// Formats an error with the setting as an option.
fn option_error(error: &SettingError) -> String {
    let option = format!("awsauthenticationplugin-{}", error.name.replace('_', "-"));
    match &error.value {
        Some(value) => format!("{option} = {value:?}: {}", error.reason),
        None => format!("{option}: {}", error.reason),
    }
}

#[cfg(test)]
mod tests;
