//! A role that an AWS service assumes for somebody: its trust policy alone decides, and has to name the service.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::timestamp::rfc3339;
use serde_json::{Map, Value};

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::sts::grant::SessionParams;
use crate::sts::role::{find, issue, target};
use countersign_authority::model::{Role, Tags};

/// Which role, by which service, for whom.
pub(super) struct Assumption<'a> {
    /// The principal that the trust policy has to name.
    pub(super) service: &'static str,
    /// The role's ARN.
    pub(super) role: &'a str,
    /// The session's name.
    pub(super) session: &'a str,
    /// How long it lasts. A role's longest session does not limit what services assume. Source: "Update the maximum session
    /// duration for a role" in the IAM user guide.
    pub(super) lifetime: Duration,
    /// Tags of the session. All of them are transitive.
    pub(super) tags: Tags,
    /// Condition keys of the request: `aws:SourceArn`.
    pub(super) request: Vec<(&'static str, String)>,
    /// Condition keys for as long as the session lasts: `ec2:RoleDelivery`.
    pub(super) facts: Vec<(&'static str, String)>,
}

impl Assumption<'_> {
    /// Makes the session, if the role trusts the service with it.
    ///
    /// # Errors
    /// AWS's `AccessDenied`, for a role that is not there too.
    pub(super) fn make(
        self,
        call: &RequestContext<'_>,
    ) -> Result<(Arc<Role>, Credentials), ApiError> {
        let role = find(&call.state, self.role);
        let transitive = self.tags.keys().cloned().collect();
        let terms = SessionParams {
            duration: self.lifetime,
            tags: self.tags,
            transitive,
            ..SessionParams::default()
        };
        let mut target = terms.facts(target(role, self.role, self.session)?);
        for (key, value) in self.request {
            target = target.with(key, value);
        }
        let service = self.service.parse()?;
        call.authorize_external(&service, "sts:AssumeRole", &target)?;
        for action in terms.further_actions() {
            call.authorize_external(&service, action, &target)?;
        }
        // One that is not there trusts nobody.
        let role =
            role.ok_or_else(|| ApiError::new("AccessDenied", 403, "There is no such role."))?;
        let facts = self.facts.into_iter().map(|(key, value)| (key.to_owned(), value));
        let (credentials, _) =
            issue(call, role, self.session, terms, |session| session.context_keys.extend(facts))?;
        Ok((Arc::clone(role), credentials))
    }
}

/// The members that the answers for containers and machines have in common.
pub(super) fn members(credentials: &Credentials) -> Map<String, Value> {
    let token = credentials.session_token.as_ref().map(Secret::expose).unwrap_or_default();
    let pairs = [
        ("AccessKeyId", credentials.access_key_id.as_str().to_owned()),
        ("SecretAccessKey", credentials.secret.expose().to_owned()),
        ("Token", token.to_owned()),
        ("Expiration", credentials.expires.map(rfc3339).unwrap_or_default()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
