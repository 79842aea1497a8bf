//! `AssumeRole`: both the caller's policies and the role's trust policy decide.

use std::sync::Arc;

use countersign_core::arn::Arn;
use countersign_core::credentials::Credentials;

use super::grant::{Durations, SessionParams, session_name, write_credentials};
use crate::action::ActionOutput;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::Role;
use countersign_authority::session::{Session, Subject};
use countersign_authority::store::{State, account_key};

/// Maximum session duration in seconds of a role that a role assumes (role chaining).
const MAX_CHAINED: u32 = 3600;

/// `AssumeRole`
pub(super) fn assume_role(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, name) = (
        ctx.parameters.required("RoleArn")?,
        session_name("roleSessionName", ctx.parameters.required("RoleSessionName")?)?,
    );
    let identity = ctx.identity()?;
    let role = find(&ctx.state, arn);
    let chain =
        identity.session.as_ref().filter(|session| matches!(session.subject, Subject::Role { .. }));
    let max = role.map_or(MAX_CHAINED, |role| role.max_session);
    let mut params = SessionParams::read(
        ctx,
        Durations { default: 3600, max: if chain.is_some() { max.min(MAX_CHAINED) } else { max } },
    )
    .map_err(|error| chained(error, chain.is_some()))?;
    if let Some(session) = chain {
        inherit(&mut params, session)?;
    }
    let external = ctx.parameters.text("ExternalId");
    let target = target(role, arn, &name)?;
    let target = params.add_condition_keys(match external {
        Some(id) => target.with("sts:ExternalId", id),
        None => target,
    });
    ctx.authorize("sts:AssumeRole", &target)?;
    for action in params.additional_actions() {
        ctx.authorize(action, &target)?;
    }
    let role = role.ok_or_else(|| absent(arn))?;
    let packed = params.packed_size();
    let mut xml = assumed(ctx, role, &name, params, |_| {})?;
    if packed > 0 {
        xml.leaf("PackedPolicySize", packed);
    }
    Ok(xml.into())
}

/// Replaces the error for a session of role chaining that is too long.
fn chained(error: ApiError, chain: bool) -> ApiError {
    match chain && error.message.contains("MaxSessionDuration") {
        true => ApiError::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining.",
        ),
        false => error,
    }
}

/// Inherits the session's transitive tags, which cannot be changed, and its source identity.
fn inherit(params: &mut SessionParams, session: &Session) -> Result<(), ApiError> {
    for key in &session.transitive_tag_keys {
        let Some(value) = session.tags.get(key) else {
            continue;
        };
        if params.tags.keys().any(|given| given.eq_ignore_ascii_case(key)) {
            return Err(ApiError::new(
                "InvalidParameterValue",
                400,
                &format!(
                    "One of the specified transitive tag keys can't be set because it conflicts \
                     with a transitive tag key from the calling session: {key}."
                ),
            ));
        }
        params.tags.insert(key.clone(), value.clone());
        params.transitive.push(key.clone());
    }
    match (&session.source_identity, &params.source_identity) {
        (Some(source), Some(requested)) if source != requested => Err(ApiError::new(
            "AccessDenied",
            403,
            "The source identity of the calling session cannot be changed.",
        )),
        (Some(source), None) => {
            params.source_identity = Some(source.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Returns the role whose ARN is exactly `arn`.
pub(crate) fn find<'a>(state: &'a State, arn: &str) -> Option<&'a Arc<Role>> {
    let parsed: Arn = arn.parse().ok()?;
    let name = parsed.resource().strip_prefix("role/")?.rsplit('/').next()?;
    let role = state.roles.get(&account_key(parsed.account(), name))?;
    let partition = state.accounts.get(parsed.account())?.partition;
    (format!("arn:{partition}:iam::{}:role{}{}", role.account, role.path, role.name) == arn)
        .then_some(role)
}

/// Returns the target for assuming a role, with its trust policy. A role that does not exist is
/// indistinguishable from one that trusts no caller.
pub(crate) fn target<'a>(
    role: Option<&'a Arc<Role>>,
    arn: &'a str,
    session: &str,
) -> Result<Target<'a>, ApiError> {
    /// Policy that denies every caller.
    const DENY_ALL: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*"}]}"#;
    let trust = role.and_then(|role| role.trust.as_deref()).unwrap_or(DENY_ALL);
    let mut target = Target { policy: Some(("trust policy", trust)), ..Target::of(arn) }
        .with("sts:RoleSessionName", session);
    for (key, value) in role.iter().flat_map(|role| &role.tags) {
        target = target
            .with(&format!("aws:ResourceTag/{key}"), value.as_str())
            .with(&format!("iam:ResourceTag/{key}"), value.as_str());
    }
    Ok(target)
}

fn absent(arn: &str) -> ApiError {
    ApiError::new("AccessDenied", 403, &format!("The role {arn} cannot be assumed."))
}

/// Issues credentials and writes the common elements of responses. `adjust` adds the session's
/// condition keys.
pub(super) fn assumed(
    ctx: &RequestContext<'_>,
    role: &Role,
    name: &str,
    params: SessionParams,
    adjust: impl FnOnce(&mut Session),
) -> Result<Xml, ApiError> {
    let (credentials, source) = issue(ctx, role, name, params, adjust)?;
    let partition = ctx
        .state
        .accounts
        .get(role.account.as_str())
        .map_or("aws", |account| account.partition.as_str());
    let mut xml = Xml::new();
    xml.element("AssumedRoleUser", |xml| {
        xml.leaf("AssumedRoleId", format!("{}:{name}", role.unique_id));
        xml.leaf(
            "Arn",
            format!("arn:{partition}:sts::{}:assumed-role/{}/{name}", role.account, role.name),
        );
    });
    write_credentials(&mut xml, &credentials);
    xml.optional_leaf("SourceIdentity", source);
    Ok(xml)
}

/// Issues credentials for a session of a role, and returns its source identity.
pub(crate) fn issue(
    ctx: &RequestContext<'_>,
    role: &Role,
    name: &str,
    params: SessionParams,
    adjust: impl FnOnce(&mut Session),
) -> Result<(Credentials, Option<String>), ApiError> {
    let subject = Subject::Role { name: role.name.clone(), session: name.to_owned() };
    let mut session = params.session(ctx, role.account.as_str(), subject, &role.unique_id)?;
    adjust(&mut session);
    Ok((session.issue(ctx.api.store().sealing())?, session.source_identity))
}
