//! The arguments of the pam.d line.

use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::InstanceId;

/// How long the verifier may take where the line does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most that it may be given: PostgreSQL's own `authentication_timeout`, by default.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest path of a Unix socket that leaves room for the final NUL: unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// What the line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the verifier listens.
    pub(crate) socket: PathBuf,
    /// The instance that this server is.
    pub(crate) instance: InstanceId,
    /// The bound of connecting, asking and being answered, together.
    pub(crate) timeout: Duration,
    /// Whom to trust as the verifier, beside root and the server's own user.
    pub(crate) verifier: Option<Account>,
}

/// A system user, as the line names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Uid(u32),
    Name(String),
}

#[derive(Default)]
struct Given {
    socket: Option<PathBuf>,
    instance: Option<InstanceId>,
    timeout: Option<Duration>,
    verifier: Option<Account>,
}

impl Settings {
    /// Reads the arguments; all that is wrong with them is reported at once.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut given = Given::default();
        let mut mistakes: Vec<String> = arguments.iter().filter_map(|argument| given.take(argument).err()).collect();
        // A value that was given and is wrong is not missing as well.
        for (name, missing) in [("socket", given.socket.is_none()), ("instance", given.instance.is_none())] {
            if missing && !arguments.iter().any(|argument| argument.split('=').next() == Some(name)) {
                mistakes.push(format!("{name}=… is missing"));
            }
        }
        match (given.socket, given.instance) {
            (Some(socket), Some(instance)) if mistakes.is_empty() => {
                Ok(Self { socket, instance, timeout: given.timeout.unwrap_or(DEFAULT_TIMEOUT), verifier: given.verifier })
            }
            _ => Err(Failure::new(Class::Configuration, format!("the pam.d line is wrong: {}", mistakes.join("; ")))),
        }
    }
}

impl Given {
    fn take(&mut self, argument: &str) -> Result<(), String> {
        let unknown = || Err(format!("{argument:?} is not an argument of this module"));
        let Some((name, value)) = argument.split_once('=') else { return unknown() };
        let taken = match name {
            "socket" => once(&mut self.socket, socket(value)),
            "instance" => once(&mut self.instance, value.parse().map_err(|error| format!("{error}"))),
            "timeout" => once(&mut self.timeout, timeout(value)),
            "verifier_uid" => once(&mut self.verifier, uid(value).map(Account::Uid)),
            "verifier_user" => once(&mut self.verifier, user(value).map(Account::Name)),
            _ => return unknown(),
        };
        taken.map_err(|mistake| format!("{argument:?}: {mistake}"))
    }
}

fn once<T>(slot: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    match slot.replace(value?) {
        None => Ok(()),
        Some(_) => Err("it is given already".to_owned()),
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
    bounded.ok_or_else(|| format!("a time from 1ms to {}s is needed, such as 5s", MAX_TIMEOUT.as_secs()))
}

/// The greatest number is the system's word for "no user".
fn uid(value: &str) -> Result<u32, String> {
    let uid = value.parse().ok().filter(|uid| *uid != u32::MAX);
    uid.ok_or_else(|| "a user's number is needed; verifier_user takes a name".to_owned())
}

fn user(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("the name is empty".to_owned()) } else { Ok(value.to_owned()) }
}

#[cfg(test)]
mod tests;
