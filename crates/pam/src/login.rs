//! One login: what the module does each time that PAM calls it.

use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};

use crate::arguments::parse;
use crate::ffi::Handle;
use crate::status::{Priority, Status};

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
            let line = format!(
                "login of {user:?} refused: the auth line of this service has not let this user in"
            );
            handle.log(Priority::Error, &line);
            Status::PermissionDenied
        }
        Err(failure) => {
            handle.log(
                Priority::Error,
                &format!("a login refused: {}: {}", failure.class, failure.detail),
            );
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
    let settings = parse(arguments)?;
    *subject = format!("login of {name:?} on {:?}", settings.instance());
    let user: DbUser =
        name.parse().map_err(|error| Failure::new(Class::Malformed, format!("{error}")))?;
    let verifier = settings.verifier()?;
    let client = handle.client()?;
    let token = handle.password()?;
    verifier.verify(Engine::Postgres, user, token, client, None)?;
    handle.admit(&name)
}
