//! The audit record of one login.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use countersign_core::audit::AuditRecord;
//! use countersign_core::failure::{AuditOutcome, Class};
//! use countersign_core::name::Engine;
//!
//! let (instance, user) = ("orders".parse()?, "jane".parse()?);
//! let mut record = AuditRecord::pending(SystemTime::now(), Engine::Postgres, instance, user);
//! record.outcome = AuditOutcome::Denied;
//! record.class = Some(Class::Expired);
//! record.reason = "token expired at 2024-01-15T12:15:00.000Z".to_owned();
//! let line = serde_json::to_string(&record)?;
//! assert!(line.contains(r#""outcome":"denied","class":"expired""#));
//! assert!(record.rds_line().is_some_and(|line| line.contains("ExpiredToken")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::SystemTime;

use crate::arn::Arn;
use crate::failure::{AuditOutcome, Class, RdsMessage};
use crate::name::{AccessKeyId, DbUser, Engine, InstanceId};
use crate::timestamp::rfc3339;

/// Version of [`AuditRecord`]. It increases when a field is removed or changes its meaning.
pub const VERSION: u32 = 1;

/// One login, written as one line of JSON. It contains no token, signature or secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// [`VERSION`]
    pub version: u32,
    /// Time of the decision: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Outcome of the login.
    pub outcome: AuditOutcome,
    /// Class of the failure, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The reason as a sentence: the statement that allowed the login, or the failure.
    #[serde(alias = "because")]
    pub reason: String,
    /// Engine of the server.
    pub engine: Engine,
    /// The instance that the client logs in to.
    pub instance: InstanceId,
    /// Resource of the `rds-db:connect` decision, once the instance is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arn>,
    /// The database user.
    pub user: DbUser,
    /// The authenticated principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arn>,
    /// The access key named by the token, verified or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<AccessKeyId>,
    /// Address of the client, if the server reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl AuditRecord {
    /// Returns the record of a login that is not decided yet. Its outcome is an error until it is
    /// set.
    #[must_use]
    pub fn pending(now: SystemTime, engine: Engine, instance: InstanceId, user: DbUser) -> Self {
        Self {
            version: VERSION,
            time: rfc3339(now),
            outcome: AuditOutcome::Error,
            class: Some(Class::Internal),
            reason: "the decision was abandoned".to_owned(),
            engine,
            instance,
            resource: None,
            user,
            principal: None,
            access_key_id: None,
            client: None,
        }
    }

    /// Returns the line of RDS's `iam-db-auth-error` log for this login; `None` if it was allowed.
    #[must_use]
    pub fn rds_line(&self) -> Option<String> {
        let class = self.class.filter(|_| self.outcome != AuditOutcome::Allowed)?;
        // RDS prints the name unescaped; here a line break in it must not start a new line.
        let user = self.user.as_str().escape_debug();
        let failed = |verb: &str, why: &str| {
            format!("[ERROR] Failed to {verb} the connection request for user {user} {why}")
        };
        Some(match class.rds_message() {
            RdsMessage::InvalidToken => failed(
                "authenticate",
                "because the provided token is malformed or otherwise invalid. (Status Code: 400, \
                 Error Code: InvalidToken)",
            ),
            RdsMessage::ExpiredToken => failed(
                "authenticate",
                "because the token age is longer than 15 minutes. (Status Code: 400, Error \
                 Code:ExpiredToken)",
            ),
            RdsMessage::NotAuthorized => {
                let caller = self.principal.as_ref().map_or("unknown", Arn::as_str);
                let why = format!(
                    "because the IAM policy assumed by the caller '{caller}' is not authorized to \
                     perform `rds-db:connect` on the DB instance. (Status Code: 403, \
                     Error Code:NotAuthorized)"
                );
                failed("authorize", &why)
            }
            RdsMessage::Throttling => failed(
                "authenticate",
                "due to IAM DB authentication throttling. (Status Code: 429, Error Code: \
                 ThrottlingException)",
            ),
            RdsMessage::InternalError => failed(
                "authenticate",
                "due to an internal IAM DB authentication error. (Status Code: 500, Error Code: \
                 InternalError)",
            ),
        })
    }
}

#[cfg(test)]
mod tests;
