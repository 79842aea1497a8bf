//! Permissions boundaries: the managed policy that limits the permissions of an identity.

use super::entity::absent;
use super::identity::{Asked, Kind};
use super::policy::Managed;
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use countersign_authority::store::State;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("PutUserPermissionsBoundary", &["UserName", "PermissionsBoundary"], |call| {
        put(call, Kind::User)
    }),
    Action::writes("PutRolePermissionsBoundary", &["RoleName", "PermissionsBoundary"], |call| {
        put(call, Kind::Role)
    }),
    Action::writes("DeleteUserPermissionsBoundary", &["UserName"], |call| delete(call, Kind::User)),
    Action::writes("DeleteRolePermissionsBoundary", &["RoleName"], |call| delete(call, Kind::Role)),
];

/// Returns an error unless the policy is AWS's or the account's: an identity with an unknown
/// boundary would have no permissions.
pub(super) fn check(state: &State, account: &str, arn: &str) -> Result<(), ApiError> {
    if Managed::find(state, account, arn).is_some() {
        return Ok(());
    }
    Err(absent(&format!("Scope ARN: {arn} does not exist or is not attachable.")))
}

fn put(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (asked, arn) = (Asked::read(call, kind)?, call.parameters.required("PermissionsBoundary")?);
    let action = format!("iam:Put{}PermissionsBoundary", kind.title());
    call.authorize(&action, &asked.target().with("iam:PermissionsBoundary", arn))?;
    let account = call.account()?.as_str();
    asked.change(call, |state, policies| {
        check(state, account, arn)?;
        if let Some(boundary) = policies.boundary {
            *boundary = Some(arn.to_owned());
        }
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

fn delete(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let asked = Asked::read(call, kind)?;
    call.authorize(
        &format!("iam:Delete{}PermissionsBoundary", kind.title()),
        &asked.bounded_target(),
    )?;
    asked.change(call, |_, policies| match policies.boundary.map(Option::take) {
        Some(Some(_)) => Ok(()),
        _ => Err(absent(&format!(
            "The {} with name {} has no permissions boundary.",
            kind.noun(),
            asked.name
        ))),
    })?;
    Ok(ActionOutput::Empty)
}
