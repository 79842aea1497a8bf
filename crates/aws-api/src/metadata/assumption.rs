//! Role sessions for AWS services: the role's trust policy alone decides, and must name the
//! service.

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

/// Role, session and condition keys of an assumption.
pub(super) struct Assumption<'a> {
    /// Service principal that the trust policy must name.
    pub(super) service: &'static str,
    /// ARN of the role.
    pub(super) role: &'a str,
    /// Name of the session.
    pub(super) session: &'a str,
    /// Lifetime of the session. A role's maximum session duration does not limit services.
    /// Source: "Update the maximum session duration for a role" in the IAM user guide.
    pub(super) lifetime: Duration,
    /// Tags of the session; all are transitive.
    pub(super) tags: Tags,
    /// Condition keys of the request, such as `aws:SourceArn`.
    pub(super) request: Vec<(&'static str, String)>,
    /// Condition keys of the session, such as `ec2:RoleDelivery`.
    pub(super) facts: Vec<(&'static str, String)>,
}

impl Assumption<'_> {
    /// Issues credentials if the role's trust policy allows it.
    ///
    /// # Errors
    /// `AccessDenied`, also for a role that does not exist.
    pub(super) fn make(
        self,
        ctx: &RequestContext<'_>,
    ) -> Result<(Arc<Role>, Credentials), ApiError> {
        let role = find(&ctx.state, self.role);
        let transitive = self.tags.keys().cloned().collect();
        let params = SessionParams {
            duration: self.lifetime,
            tags: self.tags,
            transitive,
            ..SessionParams::default()
        };
        let mut target = params.add_condition_keys(target(role, self.role, self.session)?);
        for (key, value) in self.request {
            target = target.with(key, value);
        }
        let service = self.service.parse()?;
        ctx.authorize_external(&service, "sts:AssumeRole", &target)?;
        for action in params.additional_actions() {
            ctx.authorize_external(&service, action, &target)?;
        }
        // A role that does not exist trusts no caller.
        let role =
            role.ok_or_else(|| ApiError::new("AccessDenied", 403, "The role does not exist."))?;
        let facts = self.facts.into_iter().map(|(key, value)| (key.to_owned(), value));
        let (credentials, _) =
            issue(ctx, role, self.session, params, |session| session.context_keys.extend(facts))?;
        Ok((Arc::clone(role), credentials))
    }
}

/// Returns the JSON members that the responses for containers and machines share.
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
