//! What a server doesn't say when it refuses a login.

use std::io;
use std::time::Duration;

use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::name::{AccessKeyId, DbUser, Engine};

/// Who was refused, and what to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was shown to the server.
    pub detail: String,
    /// What to check, the likeliest first.
    pub hint: String,
}

/// What a token was.
pub(super) struct Signed<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// Where the credentials came from.
    pub(super) source: String,
    pub(super) access_key_id: &'a AccessKeyId,
    pub(super) age: Duration,
}

impl Explanation {
    pub(super) fn new(
        engine: Engine,
        place: &str,
        user: &DbUser,
        signed: Option<Signed<'_>>,
    ) -> Self {
        match signed {
            None => Self {
                detail: format!(
                    "{} {place} was shown the target's password for {user}",
                    engine.product()
                ),
                hint: format!(
                    "check the password that the target is set up with, and that {user} may log in by password"
                ),
            },
            Some(signed) => Self {
                detail: format!(
                    "{} {place} was shown a token for {user} at {} in {}, signed {} s ago with {} ({})",
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

fn hint(engine: Engine, user: &DbUser, signed: &Signed<'_>) -> String {
    let account = match engine {
        Engine::Postgres => {
            format!("that {user} exists in that case and has the role (GRANT rds_iam TO {user})")
        }
        Engine::Mariadb | Engine::Mysql => format!(
            "that {user} exists in that case, IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
        ),
    };
    let region = &signed.endpoint.region;
    let partition = region.partition();
    format!(
        "check, in this order: {account}; that a policy of {} allows rds-db:connect on \
         arn:{partition}:rds-db:{region}:ACCOUNT:dbuser:RESOURCE-ID/{user}, and none denies it; that IAM authentication is on for the \
         database; that {} is the endpoint itself (else set sign-host); that those credentials have not ended or been disabled",
        signed.access_key_id, signed.endpoint.host,
    )
}

/// What a handshake's failure most often means.
pub(super) fn tls(host: &HostName, error: &io::Error) -> String {
    let words = error.to_string();
    let advice = if words.contains("UnknownIssuer") {
        "; none of the roots vouches for the server: name its CA's file (sslrootcert), or look whether something is in between"
    } else if words.contains("NotValidForName") {
        "; the certificate names another host: dial the name that it has, and sign for the endpoint with sign-host"
    } else if words.contains("Expired") {
        "; look at this machine's clock, and at the server's certificate"
    } else {
        ""
    };
    format!("TLS with {host} failed: {words}{advice}")
}
