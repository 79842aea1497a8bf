//! Authentication of one login.

use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};

use crate::arguments::parse;
use crate::ffi::Handle;
use crate::status::{Priority, Status};

/// Runs the auth line: calls the verifier.
pub(crate) fn authenticate(handle: &Handle, arguments: &[String]) -> Status {
    let mut subject = "login".to_owned();
    match attempt(handle, arguments, &mut subject) {
        Ok(()) => Status::Success,
        Err(failure) => {
            let line = format!("{subject} denied: {}: {}", failure.class, failure.detail);
            handle.log(Priority::of(&failure), &line);
            failure.class.into()
        }
    }
}

/// Runs the account line: allows the user that the auth line allowed.
pub(crate) fn account(handle: &Handle) -> Status {
    match handle.user() {
        Ok(user) if handle.allowed_user().as_deref() == Some(&user) => Status::Success,
        Ok(user) => {
            let line = format!(
                "login of {user:?} denied: the auth line of this service did not allow this user"
            );
            handle.log(Priority::Error, &line);
            Status::PermissionDenied
        }
        Err(failure) => {
            handle.log(
                Priority::Error,
                &format!("login denied: {}: {}", failure.class, failure.detail),
            );
            failure.class.into()
        }
    }
}

/// Runs `pam_setcred`, which sets nothing and succeeds if the auth line allowed a user.
pub(crate) fn credentials(handle: &Handle) -> Status {
    if handle.allowed_user().is_some() { Status::Success } else { Status::NoCredentials }
}

/// Authenticates a login. `subject` describes it for the log, with the details known so far.
fn attempt(handle: &Handle, arguments: &[String], subject: &mut String) -> Result<(), Failure> {
    handle.clear_allowed_user()?;
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
    handle.set_allowed_user(&name)
}
