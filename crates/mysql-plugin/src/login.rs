//! Authentication of one login.

use countersign_core::failure::{Class, Failure, quoted};
use countersign_core::name::DbUser;

use crate::ffi::{Account, Connection};
use crate::log::{self, Level};
use crate::settings;

/// The authentication string of an account of this plugin, as with RDS's plugin.
const AUTH_STRING: &[u8] = b"RDS";

/// Log line for a statement or a stored account with another authentication string, which is not
/// shown because it could be a password.
pub(crate) const INVALID_AUTH_STRING: &str = "cannot use this authentication string: accounts of \
     this plugin have no password; use CREATE USER … IDENTIFIED WITH AWSAuthenticationPlugin \
     AS 'RDS'";

/// Returns true if `given` is the authentication string of this plugin.
pub(crate) fn is_auth_string(given: &[u8]) -> bool {
    given == AUTH_STRING
}

/// Returns true if the login is allowed, and logs a denial.
pub(crate) fn authenticate(connection: &Connection) -> bool {
    let mut subject = "login".to_owned();
    match attempt(connection, &mut subject) {
        Ok(()) => true,
        Err(failure) => {
            log::write(
                Level::of(&failure),
                &format!("{subject} denied: {}: {}", failure.class, failure.detail),
            );
            false
        }
    }
}

/// Authenticates a login. `subject` describes it for the log, with the details known so far.
fn attempt(connection: &Connection, subject: &mut String) -> Result<(), Failure> {
    let token = connection.password();
    let account = connection.account();
    let transport = connection.transport();
    let client = transport.address.or(account.host.clone());
    *subject = describe(&account, client.as_deref());
    let token = token?;
    let verifier = settings::verifier()?;
    subject.push_str(&format!(" on {:?}", verifier.instance()));
    if !is_auth_string(&account.auth_string) {
        return Err(Failure::new(
            Class::Configuration,
            "the authentication string of the account is not RDS; set it with ALTER USER … AS \
             'RDS'",
        ));
    }
    // The verifier denies and logs a login without TLS; the token is sent only to its socket.
    verifier.verify(connection.engine(), user(account)?, token, client, transport.tls)
}

fn describe(account: &Account, client: Option<&str>) -> String {
    let user = account.user.as_deref().map_or_else(
        || "an unknown user".to_owned(),
        |user| quoted(&String::from_utf8_lossy(user)),
    );
    let client = client.map_or_else(String::new, |client| format!(" from {}", quoted(client)));
    format!("login of {user}{client}")
}

fn user(account: Account) -> Result<DbUser, Failure> {
    let malformed = |detail: String| Failure::new(Class::Malformed, detail);
    let user =
        account.user.ok_or_else(|| malformed("the server passed no user name".to_owned()))?;
    let user =
        String::from_utf8(user).map_err(|_| malformed("user name is not UTF-8".to_owned()))?;
    user.parse().map_err(|error| malformed(format!("{error}")))
}
