//! `AssumeRole`: the caller's policies and the role's trust policy both have a say.

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

/// The longest session of a role that was assumed by a role, in seconds.
const CHAINED: u32 = 3600;

/// `AssumeRole`
pub(super) fn assume_role(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, name) = (
        call.parameters.required("RoleArn")?,
        session_name("roleSessionName", call.parameters.required("RoleSessionName")?)?,
    );
    let holder = call.identity()?;
    let role = find(&call.state, arn);
    let chain =
        holder.session.as_ref().filter(|session| matches!(session.subject, Subject::Role { .. }));
    let most = role.map_or(CHAINED, |role| role.max_session);
    let mut terms = SessionParams::read(
        call,
        Durations { usual: 3600, most: if chain.is_some() { most.min(CHAINED) } else { most } },
    )
    .map_err(|error| chained(error, chain.is_some()))?;
    if let Some(session) = chain {
        inherit(&mut terms, session)?;
    }
    let external = call.parameters.text("ExternalId");
    let target = target(role, arn, &name)?;
    let target = terms.facts(match external {
        Some(id) => target.with("sts:ExternalId", id),
        None => target,
    });
    call.authorize("sts:AssumeRole", &target)?;
    for action in terms.further_actions() {
        call.authorize(action, &target)?;
    }
    let role = role.ok_or_else(|| absent(arn))?;
    let packed = terms.packed_size();
    let mut answer = assumed(call, role, &name, terms, |_| {})?;
    if packed > 0 {
        answer.leaf("PackedPolicySize", packed);
    }
    Ok(answer.into())
}

/// Says of a chain why it may not be so long.
fn chained(error: ApiError, chain: bool) -> ApiError {
    match chain && error.message.contains("MaxSessionDuration") {
        true => ApiError::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ),
        false => error,
    }
}

/// What a chain of roles keeps: transitive tags, which nobody may change, and the source.
fn inherit(terms: &mut SessionParams, session: &Session) -> Result<(), ApiError> {
    for key in &session.transitive_tag_keys {
        let Some(value) = session.tags.get(key) else {
            continue;
        };
        if terms.tags.keys().any(|given| given.eq_ignore_ascii_case(key)) {
            return Err(ApiError::new(
                "InvalidParameterValue",
                400,
                &format!(
                    "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session: {key}."
                ),
            ));
        }
        terms.tags.insert(key.clone(), value.clone());
        terms.transitive.push(key.clone());
    }
    match (&session.source_identity, &terms.source_identity) {
        (Some(source), Some(asked)) if source != asked => Err(ApiError::new(
            "AccessDenied",
            403,
            "The source identity of the calling session can't be changed.",
        )),
        (Some(source), None) => {
            terms.source_identity = Some(source.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The role of that ARN, to the letter.
pub(crate) fn find<'a>(state: &'a State, arn: &str) -> Option<&'a Arc<Role>> {
    let parsed: Arn = arn.parse().ok()?;
    let name = parsed.resource().strip_prefix("role/")?.rsplit('/').next()?;
    let role = state.roles.get(&account_key(parsed.account(), name))?;
    let partition = state.accounts.get(parsed.account())?.partition;
    (format!("arn:{partition}:iam::{}:role{}{}", role.account, role.path, role.name) == arn)
        .then_some(role)
}

/// A role that is to be assumed, with its trust policy. One that is not there trusts nobody, and looks just like that.
pub(crate) fn target<'a>(
    role: Option<&'a Arc<Role>>,
    arn: &'a str,
    session: &str,
) -> Result<Target<'a>, ApiError> {
    /// A policy that allows nobody anything.
    const NOBODY: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*"}]}"#;
    let trust = role.and_then(|role| role.trust.as_deref()).unwrap_or(NOBODY);
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
    ApiError::new("AccessDenied", 403, &format!("The role {arn} can't be assumed."))
}

/// Makes the session, and writes what is common to all answers that have one. `adjust` adds what its way in says of it.
pub(super) fn assumed(
    call: &RequestContext<'_>,
    role: &Role,
    name: &str,
    terms: SessionParams,
    adjust: impl FnOnce(&mut Session),
) -> Result<Xml, ApiError> {
    let (credentials, source) = issue(call, role, name, terms, adjust)?;
    let partition = call
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

/// Makes the session of a role, and says who its source is.
pub(crate) fn issue(
    call: &RequestContext<'_>,
    role: &Role,
    name: &str,
    terms: SessionParams,
    adjust: impl FnOnce(&mut Session),
) -> Result<(Credentials, Option<String>), ApiError> {
    let subject = Subject::Role { name: role.name.clone(), session: name.to_owned() };
    let mut session = terms.session(call, role.account.as_str(), subject, &role.unique_id)?;
    adjust(&mut session);
    Ok((session.issue(call.api.store().sealing())?, session.source_identity))
}
