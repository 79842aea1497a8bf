//! One login: what the plugin does each time that a server calls it.

use countersign_core::failure::{Class, Failure, quoted};
use countersign_core::name::DbUser;

use crate::ffi::{Connection, Told};
use crate::log::{self, Level};
use crate::settings;

/// What an account of this plugin has behind `AS`, as AWS's own has.
const AUTH_STRING: &[u8] = b"RDS";

/// What the log says where a statement, or a stored account, has anything else. What that is might be a password.
pub(crate) const ONLY_RDS: &str = "refused: an account of this plugin has the authentication string RDS and no password: \
     CREATE USER … IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'";

/// Whether an account may have this behind `AS`.
pub(crate) fn is_auth_string(given: &[u8]) -> bool {
    given == AUTH_STRING
}

/// May the client in? Whatever keeps it out is logged here.
pub(crate) fn authenticate(connection: &Connection) -> bool {
    let mut subject = "a login".to_owned();
    match attempt(connection, &mut subject) {
        Ok(()) => true,
        Err(failure) => {
            log::write(
                Level::of(&failure),
                &format!("{subject} refused: {}: {}", failure.class, failure.detail),
            );
            false
        }
    }
}

/// `subject` is what the log calls the login: it grows with what is known of it.
fn attempt(connection: &Connection, subject: &mut String) -> Result<(), Failure> {
    let token = connection.password();
    let told = connection.told();
    let transport = connection.transport();
    let client = transport.address.or(told.host.clone());
    *subject = called(&told, client.as_deref());
    let token = token?;
    let verifier = settings::verifier()?;
    subject.push_str(&format!(" on {:?}", verifier.instance()));
    if !is_auth_string(&told.auth_string) {
        return Err(Failure::new(
            Class::Configuration,
            "the account's authentication string is not RDS: ALTER USER … AS 'RDS'",
        ));
    }
    // Without TLS the verifier refuses, and its log says so: the token gets no further than its socket.
    verifier.verify(connection.engine(), user(told)?, token, client, transport.tls)
}

fn called(told: &Told, client: Option<&str>) -> String {
    let user = told.user.as_deref().map_or_else(
        || "an unknown user".to_owned(),
        |user| quoted(&String::from_utf8_lossy(user)),
    );
    let client = client.map_or_else(String::new, |client| format!(" from {}", quoted(client)));
    format!("login of {user}{client}")
}

fn user(told: Told) -> Result<DbUser, Failure> {
    let malformed = |why: String| Failure::new(Class::Malformed, why);
    let user = told.user.ok_or_else(|| malformed("the server named no user".to_owned()))?;
    let user =
        String::from_utf8(user).map_err(|_| malformed("the user name is not UTF-8".to_owned()))?;
    user.parse().map_err(|error| malformed(format!("{error}")))
}
