//! Likely causes of a rejected login, which servers do not report.

use std::io;
use std::time::Duration;

use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::name::{AccessKeyId, DbUser, Engine};

/// Likely causes of a rejected login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The credential that the server rejected.
    pub detail: String,
    /// Checks to make, the likeliest cause first.
    pub hint: String,
}

/// Attributes of a rejected token.
pub(super) struct SignedToken<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// Source of the credentials.
    pub(super) source: String,
    pub(super) access_key_id: &'a AccessKeyId,
    pub(super) age: Duration,
}

impl Explanation {
    pub(super) fn new(
        engine: Engine,
        host_port: &str,
        user: &DbUser,
        signed: Option<SignedToken<'_>>,
    ) -> Self {
        match signed {
            None => Self {
                detail: format!(
                    "{} {host_port} rejected the target's password for {user}",
                    engine.product()
                ),
                hint: format!(
                    "check the target's password, and that {user} may log in with a password"
                ),
            },
            Some(signed) => Self {
                detail: format!(
                    "{} {host_port} rejected a token for {user} at {} in {}, signed {} s ago with \
                     {} ({})",
                    engine.product(),
                    signed.endpoint,
                    signed.endpoint.region,
                    signed.age.as_secs(),
                    signed.access_key_id,
                    signed.source,
                ),
                hint: hint(engine, user, &signed),
            },
        }
    }
}

fn hint(engine: Engine, user: &DbUser, signed: &SignedToken<'_>) -> String {
    let account = match engine {
        Engine::Postgres => {
            format!("that {user} exists with this case and has the role (GRANT rds_iam TO {user})")
        }
        Engine::Mariadb | Engine::Mysql => format!(
            "that {user} exists with this case, IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
        ),
    };
    let region = &signed.endpoint.region;
    let partition = region.partition();
    format!(
        "check, in this order: {account}; that a policy of {} allows rds-db:connect \
         on arn:{partition}:rds-db:{region}:ACCOUNT:dbuser:RESOURCE-ID/{user}, \
         and none denies it; that IAM authentication is enabled for the database; that {} is the \
         endpoint itself (else set sign-host); that those credentials are neither expired nor \
         disabled",
        signed.access_key_id, signed.endpoint.host,
    )
}

/// Formats the error of a TLS handshake with its likely remedy.
pub(super) fn tls(host: &HostName, error: &io::Error) -> String {
    let text = error.to_string();
    let remedy = if text.contains("UnknownIssuer") {
        "; none of the root certificates signed the server's: set its CA file (sslrootcert), or \
         check for a proxy in between"
    } else if text.contains("NotValidForName") {
        "; the certificate is for another host: connect to the name in it, and sign for the \
         endpoint with sign-host"
    } else if text.contains("Expired") {
        "; check this machine's clock and the server's certificate"
    } else {
        ""
    };
    format!("cannot set up TLS with {host}: {text}{remedy}")
}
