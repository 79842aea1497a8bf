//! Sessions of users: `GetSessionToken` and `GetFederationToken`.

use std::sync::Arc;

use super::grant::{Durations, SessionParams, write_credentials};
use crate::action::ActionOutput;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::PrincipalRecord;
use countersign_authority::model::User;
use countersign_authority::session::Subject;

/// Source: `DurationSeconds` of both actions in the STS API reference.
const DURATIONS: Durations = Durations { default: 43_200, max: 129_600 };

/// `GetSessionToken`: needs no permission, and the session has at most the user's.
pub(super) fn get_session_token(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = user(ctx, "GetSessionToken")?;
    let session = SessionParams::read(ctx, DURATIONS)?.session(
        ctx,
        user.account.as_str(),
        Subject::User { name: user.name.clone() },
        &user.unique_id,
    )?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &session.issue(ctx.api.store().sealing())?);
    Ok(xml.into())
}

/// `GetFederationToken`: the session may do what both its own policies and the user's allow.
pub(super) fn get_federation_token(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = user(ctx, "GetFederationToken")?;
    let name = ctx.parameters.required("Name")?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=32).contains(&name.len()) || !name.bytes().all(word) {
        return Err(ApiError::invalid(
            "1 validation error detected: Value at 'name' must be 2 to 32 of [\\w+=,.@-]",
        ));
    }
    let params = SessionParams::read(ctx, DURATIONS)?;
    let arn = format!("arn:{}:sts::{}:federated-user/{name}", ctx.partition()?, user.account);
    let target = params.add_condition_keys(Target::of(&arn));
    ctx.authorize("sts:GetFederationToken", &target)?;
    for action in params.additional_actions() {
        ctx.authorize(action, &target)?;
    }
    let packed = params.packed_size();
    let subject = Subject::Federated { user: user.name.clone(), name: name.to_owned() };
    let session = params.session(ctx, user.account.as_str(), subject, &user.unique_id)?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &session.issue(ctx.api.store().sealing())?);
    xml.element("FederatedUser", |xml| {
        xml.leaf("FederatedUserId", format!("{}:{name}", user.account)).leaf("Arn", &arn);
    });
    xml.leaf("PackedPolicySize", packed);
    Ok(xml.into())
}

/// Returns the user that calls with a long-term key; sessions cannot call these actions.
fn user<'a>(ctx: &RequestContext<'a>, action: &str) -> Result<&'a Arc<User>, ApiError> {
    let identity = ctx.identity()?;
    match (&identity.principal, &identity.session) {
        (PrincipalRecord::User(user), None) => Ok(user),
        _ => Err(ApiError::new(
            "AccessDenied",
            403,
            &format!("Cannot call {action} with session credentials"),
        )),
    }
}
