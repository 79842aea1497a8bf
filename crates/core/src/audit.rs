//! The record of one login: who, as whom, where, and why it was let in or not.

use std::time::SystemTime;

use crate::arn::Arn;
use crate::failure::{AuditOutcome, Class, RdsMessage};
use crate::name::{AccessKeyId, DbUser, Engine, InstanceId};
use crate::timestamp::rfc3339;

/// The version of [`AuditRecord`]: it grows when a field is removed or means something else.
pub const VERSION: u32 = 1;

/// One login, one line of JSON. It holds no token, signature or secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// [`VERSION`]
    pub version: u32,
    /// When it was decided: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// What went wrong, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The reason in a sentence: the statement that allowed it, or what is missing.
    #[serde(alias = "because")]
    pub reason: String,
    /// The server's kind.
    pub engine: Engine,
    /// The instance asked about.
    pub instance: InstanceId,
    /// What `rds-db:connect` was decided on, once the instance was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arn>,
    /// The database user.
    pub user: DbUser,
    /// Who it was, once proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arn>,
    /// The key that signed, or claimed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<AccessKeyId>,
    /// The client's address, where the server told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl AuditRecord {
    /// The record of a login of which nothing is decided yet: an error, until it says otherwise.
    #[must_use]
    pub fn open(now: SystemTime, engine: Engine, instance: InstanceId, user: DbUser) -> Self {
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

    /// The line that RDS's `iam-db-auth-error` log has for this login; none for one that was allowed.
    #[must_use]
    pub fn rds_line(&self) -> Option<String> {
        let class = self.class.filter(|_| self.outcome != AuditOutcome::Allowed)?;
        // RDS prints the name as it is; a line break in it must not begin a line here.
        let user = self.user.as_str().escape_debug();
        let failed = |verb: &str, why: &str| {
            format!("[ERROR] Failed to {verb} the connection request for user {user} {why}")
        };
        Some(match class.rds_message() {
            RdsMessage::InvalidToken => failed(
                "authenticate",
                "because the provided token is malformed or otherwise invalid. (Status Code: 400, Error Code: InvalidToken)",
            ),
            RdsMessage::ExpiredToken => failed(
                "authenticate",
                "because the token age is longer than 15 minutes. (Status Code: 400, Error Code:ExpiredToken)",
            ),
            RdsMessage::NotAuthorized => {
                let caller = self.principal.as_ref().map_or("unknown", Arn::as_str);
                let why = format!(
                    "because the IAM policy assumed by the caller '{caller}' is not authorized to perform `rds-db:connect` on the DB instance. \
                     (Status Code: 403, Error Code:NotAuthorized)"
                );
                failed("authorize", &why)
            }
            RdsMessage::Throttling => failed(
                "authenticate",
                "due to IAM DB authentication throttling. (Status Code: 429, Error Code: ThrottlingException)",
            ),
            RdsMessage::InternalError => failed(
                "authenticate",
                "due to an internal IAM DB authentication error. (Status Code: 500, Error Code: InternalError)",
            ),
        })
    }
}

#[cfg(test)]
mod tests;
