//! What an operator sets: where the verifier is, and for which instance it is asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::InstanceId;
use nix::unistd::User;

use crate::verifier::Verifier;

/// How long the verifier may take where the settings do not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most that it may be given: PostgreSQL's own `authentication_timeout`, by default.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest path of a Unix socket that leaves room for the final NUL: unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// The most sockets: each may be waited for.
const MAX_SOCKETS: usize = 4;

/// Where the verifier is, and what it is asked about.
///
/// | name | value | |
/// |---|---|---|
/// | `socket` | an absolute path, or up to four with commas between | where the verifier listens; the next is asked where one does not answer |
/// | `instance` | a name | the instance that this server is |
/// | `timeout` | `1ms` to `60s`, else 5 s | the bound of connecting, asking and being answered, together |
/// | `verifier_user` | a system user's name | whom to trust as the verifier, beside root and the server's own user |
/// | `verifier_uid` | its number | the same |
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    sockets: Vec<PathBuf>,
    instance: InstanceId,
    timeout: Duration,
    verifier: Option<Account>,
}

/// A system user, as the settings name it.
#[derive(Debug, PartialEq, Eq)]
enum Account {
    Uid(u32),
    Name(String),
}

/// What is wrong with one setting. Each module spells settings in its own way, so the parts are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name, as in the table at [`Settings`], or what was given for one.
    pub name: String,
    /// Its value; none where the setting is missing.
    pub value: Option<String>,
    /// What to do about it.
    pub reason: String,
}

/// In the spelling of an argument: `"timeout=5": a time from 1ms to 60s is needed, such as 5s`.
impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, reason } = self;
        match value {
            Some(value) => write!(f, "{:?}: {reason}", format!("{name}={value}")),
            None => write!(f, "{name}=… {reason}"),
        }
    }
}

#[derive(Default)]
struct Given {
    sockets: Option<Vec<PathBuf>>,
    instance: Option<InstanceId>,
    timeout: Option<Duration>,
    verifier: Option<Account>,
}

impl Settings {
    /// Reads names and values.
    ///
    /// # Errors
    /// All that is wrong with them, at once.
    pub fn parse(pairs: &[(&str, &str)]) -> Result<Self, Vec<SettingError>> {
        let mut given = Given::default();
        let mut mistakes = Vec::new();
        for (name, value) in pairs {
            if let Err(reason) = given.take(name, value) {
                mistakes.push(SettingError {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()),
                    reason,
                });
            }
        }
        // A value that was given and is wrong is not missing as well.
        for (name, missing) in
            [("socket", given.sockets.is_none()), ("instance", given.instance.is_none())]
        {
            if missing && !pairs.iter().any(|(given, _)| *given == name) {
                mistakes.push(SettingError {
                    name: name.to_owned(),
                    value: None,
                    reason: "is missing".to_owned(),
                });
            }
        }
        match (given.sockets, given.instance) {
            (Some(sockets), Some(instance)) if mistakes.is_empty() => Ok(Self {
                sockets,
                instance,
                timeout: given.timeout.unwrap_or(DEFAULT_TIMEOUT),
                verifier: given.verifier,
            }),
            _ => Err(mistakes),
        }
    }

    /// The instance that this server is.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The verifier that these settings mean. Only `verifier_user` needs the system's user database for it: where that is
    /// remote (LDAP, SSSD), the look-up takes as long as its own configuration lets it, because no deadline reaches into
    /// it. So a module that lives as long as its server calls this when it is loaded, not in a login, and one that is called
    /// for each login looks up one name, no more; `verifier_uid` spares that too.
    ///
    /// # Errors
    /// [`Class::Configuration`] where there is no such user.
    pub fn verifier(self) -> Result<Verifier, Failure> {
        let named = match self.verifier {
            None => None,
            Some(Account::Uid(uid)) => Some(uid),
            Some(Account::Name(name)) => Some(uid_of(&name)?),
        };
        Ok(Verifier::new(self.sockets, self.instance, self.timeout, named))
    }
}

fn uid_of(name: &str) -> Result<u32, Failure> {
    let refused = |why: String| Err(Failure::new(Class::Configuration, why));
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => refused(format!("there is no user {name:?}, whom the verifier is to run as")),
        Err(error) => refused(format!(
            "the verifier's user {name:?} can't be looked up ({error}): give its number in place of its name"
        )),
    }
}

impl Given {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "socket" => once(&mut self.sockets, sockets(value)),
            "instance" => {
                once(&mut self.instance, value.parse().map_err(|error| format!("{error}")))
            }
            "timeout" => once(&mut self.timeout, timeout(value)),
            "verifier_uid" => once(&mut self.verifier, uid(value).map(Account::Uid)),
            "verifier_user" => once(&mut self.verifier, user(value).map(Account::Name)),
            _ => Err("there is no such setting".to_owned()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    match slot.replace(value?) {
        None => Ok(()),
        Some(_) => Err("it is given already".to_owned()),
    }
}

fn sockets(value: &str) -> Result<Vec<PathBuf>, String> {
    let sockets: Vec<PathBuf> = value.split(',').map(socket).collect::<Result<_, _>>()?;
    if sockets.len() > MAX_SOCKETS {
        Err(format!("there are more than {MAX_SOCKETS}"))
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
        return Err(format!("a socket's path has at most {MAX_SOCKET_PATH} bytes"));
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
    bounded.ok_or_else(|| {
        format!("a time from 1ms to {}s is needed, such as 5s", MAX_TIMEOUT.as_secs())
    })
}

/// The greatest number is the system's word for "no user".
fn uid(value: &str) -> Result<u32, String> {
    let uid = value.parse().ok().filter(|uid| *uid != u32::MAX);
    uid.ok_or_else(|| "a user's number is needed, not a name".to_owned())
}

fn user(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("the name is empty".to_owned()) } else { Ok(value.to_owned()) }
}

#[cfg(test)]
mod tests;
