//! One login: what the module does each time that PAM calls it.

use countersign_core::ask::{Nonce, Question, ask};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::arguments::{Account, Settings};
use crate::ffi::Handle;
use crate::status::{Priority, Status};
use crate::verifier::{Connection, Deadline, Trusted};

/// The auth line: asks the verifier.
pub(crate) fn authenticate(handle: &Handle, arguments: &[String]) -> Status {
    let mut subject = "a login".to_owned();
    match attempt(handle, arguments, &mut subject) {
        Ok(()) => Status::Success,
        Err(failure) => {
            let line = format!("{subject} refused: {}: {}", failure.class, failure.detail);
            handle.log(Priority::of(&failure), &line);
            failure.class.into()
        }
    }
}

/// The account line: whom the auth line let in, under the name that it asked about.
pub(crate) fn account(handle: &Handle) -> Status {
    match handle.user() {
        Ok(user) if handle.admitted().as_deref() == Some(&user) => Status::Success,
        Ok(user) => {
            let line = format!("login of {user:?} refused: the auth line of this service has not let this user in");
            handle.log(Priority::Error, &line);
            Status::PermissionDenied
        }
        Err(failure) => {
            handle.log(Priority::Error, &format!("a login refused: {}: {}", failure.class, failure.detail));
            failure.class.into()
        }
    }
}

/// `pam_setcred`: there is nothing to set, and only whom the auth line let in is told that it went well.
pub(crate) fn credentials(handle: &Handle) -> Status {
    if handle.admitted().is_some() { Status::Success } else { Status::NoCredentials }
}

/// `subject` is what the log calls the login: it grows with what is known of it.
fn attempt(handle: &Handle, arguments: &[String], subject: &mut String) -> Result<(), Failure> {
    handle.withdraw()?;
    let name = handle.user()?;
    *subject = format!("login of {name:?}");
    let settings = Settings::parse(arguments)?;
    *subject = format!("login of {name:?} on {:?}", settings.instance);
    let user: DbUser = name.parse().map_err(|error| Failure::new(Class::Malformed, format!("{error}")))?;
    let trusted = Trusted::new(verifier_uid(handle, settings.verifier.as_ref())?);
    let client = handle.client()?;
    let token = handle.password()?;
    let mut question = Question::new(nonce()?, Engine::Postgres, settings.instance, user, token);
    question.client = client;
    // It starts here: how long the client took to send its password is the server's to bound.
    let mut connection = Connection::open(&settings.socket, trusted, Deadline::after(settings.timeout))?;
    ask(&mut connection, &question)?;
    handle.admit(&name)
}

fn verifier_uid(handle: &Handle, account: Option<&Account>) -> Result<Option<u32>, Failure> {
    match account {
        None => Ok(None),
        Some(Account::Uid(uid)) => Ok(Some(*uid)),
        Some(Account::Name(name)) => match handle.uid_of(name) {
            Some(uid) => Ok(Some(uid)),
            None => Err(Failure::new(Class::Configuration, format!("verifier_user: there is no user {name:?}"))),
        },
    }
}

fn nonce() -> Result<Nonce, Failure> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all: getrandom(2).
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(16) => Ok(Nonce(bytes)),
        Ok(_) => Err(Failure::new(Class::Internal, "the system gave too few random bytes")),
        Err(error) => Err(Failure::new(Class::Internal, format!("the system gave no random bytes: {error}"))),
    }
}
