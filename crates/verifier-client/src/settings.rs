//! Settings of a module: sockets of the verifier, instance, timeout, and trusted user.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::InstanceId;
use nix::unistd::User;

use crate::verifier::Verifier;

/// Default timeout of the verifier.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum timeout: the default of PostgreSQL's `authentication_timeout`.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum length of the path of a Unix socket, without the final NUL: unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// Maximum number of sockets, because each may be waited for.
const MAX_SOCKETS: usize = 4;

/// Settings of the verifier client.
///
/// | name | value | |
/// |---|---|---|
/// | `socket` | an absolute path, or up to four separated by commas | tried in order |
/// | `instance` | a name | the instance that this server is |
/// | `timeout` | `1ms` to `60s`, default `5s` | limit of the whole exchange |
/// | `verifier_user` | a system user's name | trusted as well as root and the server |
/// | `verifier_uid` | its number | the same |
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    sockets: Vec<PathBuf>,
    instance: InstanceId,
    timeout: Duration,
    verifier: Option<Account>,
}

/// A system user in the settings.
#[derive(Debug, PartialEq, Eq)]
enum Account {
    Uid(u32),
    Name(String),
}

/// An error in one setting. Each module formats it in the syntax of its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Name of the setting: one of the table at [`Settings`], or an unknown one.
    pub name: String,
    /// Value of the setting; `None` if it is missing.
    pub value: Option<String>,
    /// The problem.
    pub reason: String,
}

/// Formats the error with the setting as an argument: `"timeout=5": must be from 1ms to 60s, such
/// as 5s`.
impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, reason } = self;
        match value {
            Some(value) => write!(f, "{:?}: {reason}", format!("{name}={value}")),
            None => write!(f, "{name}=…: {reason}"),
        }
    }
}

#[derive(Default)]
struct ParsedSettings {
    sockets: Option<Vec<PathBuf>>,
    instance: Option<InstanceId>,
    timeout: Option<Duration>,
    verifier: Option<Account>,
}

impl Settings {
    /// Parses names and values.
    ///
    /// # Errors
    /// All errors of the settings.
    pub fn parse(pairs: &[(&str, &str)]) -> Result<Self, Vec<SettingError>> {
        let mut parsed = ParsedSettings::default();
        let mut errors = Vec::new();
        for (name, value) in pairs {
            if let Err(reason) = parsed.set(name, value) {
                errors.push(SettingError {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()),
                    reason,
                });
            }
        }
        // A setting with an invalid value is not reported as missing too.
        for (name, missing) in
            [("socket", parsed.sockets.is_none()), ("instance", parsed.instance.is_none())]
        {
            if missing && !pairs.iter().any(|(parsed, _)| *parsed == name) {
                errors.push(SettingError {
                    name: name.to_owned(),
                    value: None,
                    reason: "missing".to_owned(),
                });
            }
        }
        match (parsed.sockets, parsed.instance) {
            (Some(sockets), Some(instance)) if errors.is_empty() => Ok(Self {
                sockets,
                instance,
                timeout: parsed.timeout.unwrap_or(DEFAULT_TIMEOUT),
                verifier: parsed.verifier,
            }),
            _ => Err(errors),
        }
    }

    /// The instance that this server is.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Returns the configured verifier. Only `verifier_user` requires a lookup in the system's user
    /// database. If that is remote (LDAP, SSSD), the lookup has its own timeouts and no deadline
    /// applies to it. The MySQL plugin therefore calls this once when it is loaded; the PAM module
    /// looks up one name per login, which `verifier_uid` avoids.
    ///
    /// # Errors
    /// [`Class::Configuration`] if the user is not found.
    pub fn verifier(self) -> Result<Verifier, Failure> {
        let configured_uid = match self.verifier {
            None => None,
            Some(Account::Uid(uid)) => Some(uid),
            Some(Account::Name(name)) => Some(uid_of(&name)?),
        };
        Ok(Verifier::new(self.sockets, self.instance, self.timeout, configured_uid))
    }
}

fn uid_of(name: &str) -> Result<u32, Failure> {
    let fail = |detail: String| Err(Failure::new(Class::Configuration, detail));
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => fail(format!("cannot look up the user {name:?} of verifier_user: not found")),
        Err(error) => fail(format!(
            "cannot look up the user {name:?} of verifier_user: {error}; set verifier_uid instead"
        )),
    }
}

impl ParsedSettings {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "socket" => once(&mut self.sockets, sockets(value)),
            "instance" => {
                once(&mut self.instance, value.parse().map_err(|error| format!("{error}")))
            }
            "timeout" => once(&mut self.timeout, timeout(value)),
            "verifier_uid" => once(&mut self.verifier, uid(value).map(Account::Uid)),
            "verifier_user" => once(&mut self.verifier, user(value).map(Account::Name)),
            _ => Err("unknown setting".to_owned()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    match slot.replace(value?) {
        None => Ok(()),
        Some(_) => Err("duplicate setting".to_owned()),
    }
}

fn sockets(value: &str) -> Result<Vec<PathBuf>, String> {
    let sockets: Vec<PathBuf> = value.split(',').map(socket).collect::<Result<_, _>>()?;
    if sockets.len() > MAX_SOCKETS {
        Err(format!("more than {MAX_SOCKETS} sockets"))
    } else {
        Ok(sockets)
    }
}

fn socket(value: &str) -> Result<PathBuf, String> {
    if !value.starts_with('/') {
        return Err("the path is not absolute".to_owned());
    }
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the path is not UTF-8".to_owned());
    }
    if value.len() > MAX_SOCKET_PATH {
        return Err(format!("the path is longer than {MAX_SOCKET_PATH} bytes"));
    }
    Ok(value.into())
}

fn timeout(value: &str) -> Result<Duration, String> {
    let read = |digits: &str, unit: fn(u64) -> Duration| digits.parse().ok().map(unit);
    // "ms" first: it ends in "s" too.
    let duration = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(digits), _) => read(digits, Duration::from_millis),
        (None, Some(digits)) => read(digits, Duration::from_secs),
        (None, None) => None,
    };
    let bounded = duration.filter(|duration| !duration.is_zero() && *duration <= MAX_TIMEOUT);
    bounded.ok_or_else(|| format!("must be from 1ms to {}s, such as 5s", MAX_TIMEOUT.as_secs()))
}

/// Parses a uid. The maximum value means "no user" to the system.
fn uid(value: &str) -> Result<u32, String> {
    let uid = value.parse().ok().filter(|uid| *uid != u32::MAX);
    uid.ok_or_else(|| "must be the number of a user, not a name".to_owned())
}

fn user(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("the name is empty".to_owned()) } else { Ok(value.to_owned()) }
}

#[cfg(test)]
mod tests;
