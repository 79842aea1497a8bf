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
pub(super) fn get_session_token(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = user(call, "GetSessionToken")?;
    let session = SessionParams::read(call, DURATIONS)?.session(
        call,
        user.account.as_str(),
        Subject::User { name: user.name.clone() },
        &user.unique_id,
    )?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &session.issue(call.api.store().sealing())?);
    Ok(xml.into())
}

/// `GetFederationToken`: the session may do what both its own policies and the user's allow.
pub(super) fn get_federation_token(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = user(call, "GetFederationToken")?;
    let name = call.parameters.required("Name")?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=32).contains(&name.len()) || !name.bytes().all(word) {
        return Err(ApiError::invalid(
            "1 validation error detected: Value at 'name' must be 2 to 32 of [\\w+=,.@-]",
        ));
    }
    let params = SessionParams::read(call, DURATIONS)?;
    let arn = format!("arn:{}:sts::{}:federated-user/{name}", call.partition()?, user.account);
    let target = params.add_condition_keys(Target::of(&arn));
    call.authorize("sts:GetFederationToken", &target)?;
    for action in params.additional_actions() {
        call.authorize(action, &target)?;
    }
    let packed = params.packed_size();
    let subject = Subject::Federated { user: user.name.clone(), name: name.to_owned() };
    let session = params.session(call, user.account.as_str(), subject, &user.unique_id)?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &session.issue(call.api.store().sealing())?);
    xml.element("FederatedUser", |xml| {
        xml.leaf("FederatedUserId", format!("{}:{name}", user.account)).leaf("Arn", &arn);
    });
    xml.leaf("PackedPolicySize", packed);
    Ok(xml.into())
}

/// Returns the user that calls with a long-term key; sessions cannot call these actions.
fn user<'a>(call: &RequestContext<'a>, action: &str) -> Result<&'a Arc<User>, ApiError> {
    let identity = call.identity()?;
    match (&identity.principal, &identity.session) {
        (PrincipalRecord::User(user), None) => Ok(user),
        _ => Err(ApiError::new(
            "AccessDenied",
            403,
            &format!("Cannot call {action} with session credentials"),
        )),
    }
}
