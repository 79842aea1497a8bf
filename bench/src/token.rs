//! Login whose tokens are minted and verified.

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{DbUser, Engine};

use crate::Problem;

pub(crate) const HOST: &str = "mydb.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com";
pub(crate) const PORT: u16 = 5432;
pub(crate) const USER: &str = "app_user";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Login with long-term credentials or, given a session token, with temporary ones.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Endpoint,
    pub(crate) user: DbUser,
}

impl Login {
    pub(crate) fn new(session: Option<&str>) -> Result<Self, Problem> {
        let credentials = Credentials {
            access_key_id: KEY_ID.parse()?,
            secret: Secret::new(SECRET).ok_or("the secret is empty")?,
            session_token: session.and_then(Secret::new),
            expires: None,
        };
        Ok(Self { credentials, endpoint: endpoint()?, user: USER.parse()? })
    }
}

/// Returns the endpoint of the login.
pub(crate) fn endpoint() -> Result<Endpoint, Problem> {
    Ok(Endpoint {
        engine: Engine::Postgres,
        host: HOST.parse()?,
        port: PORT,
        region: REGION.parse()?,
    })
}

/// Returns both kinds of credentials: name and session token.
pub(crate) fn kinds() -> [(&'static str, Option<String>); 2] {
    [("long-term key", None), ("1,000-byte session token", Some("FwoGZXIvYXdzEBYaDJ+/".repeat(50)))]
}
