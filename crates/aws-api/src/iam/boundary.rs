//! Permissions boundaries: the managed policy that limits the permissions of an identity.

use super::entity::absent;
use super::identity::{Kind, RequestedIdentity};
use super::policy::Managed;
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use countersign_authority::store::State;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("PutUserPermissionsBoundary", &["UserName", "PermissionsBoundary"], |ctx| {
        put(ctx, Kind::User)
    }),
    Action::writes("PutRolePermissionsBoundary", &["RoleName", "PermissionsBoundary"], |ctx| {
        put(ctx, Kind::Role)
    }),
    Action::writes("DeleteUserPermissionsBoundary", &["UserName"], |ctx| delete(ctx, Kind::User)),
    Action::writes("DeleteRolePermissionsBoundary", &["RoleName"], |ctx| delete(ctx, Kind::Role)),
];

/// Returns an error unless the policy is AWS's or the account's: an identity with an unknown
/// boundary would have no permissions.
pub(super) fn check(state: &State, account: &str, arn: &str) -> Result<(), ApiError> {
    if Managed::find(state, account, arn).is_some() {
        return Ok(());
    }
    Err(absent(&format!("Scope ARN: {arn} does not exist or is not attachable.")))
}

fn put(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, arn) =
        (RequestedIdentity::read(ctx, kind)?, ctx.parameters.required("PermissionsBoundary")?);
    let action = format!("iam:Put{}PermissionsBoundary", kind.title());
    ctx.authorize(&action, &requested.target().with("iam:PermissionsBoundary", arn))?;
    let account = ctx.account()?.as_str();
    requested.change(ctx, |state, policies| {
        check(state, account, arn)?;
        if let Some(boundary) = policies.boundary {
            *boundary = Some(arn.to_owned());
        }
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

fn delete(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let requested = RequestedIdentity::read(ctx, kind)?;
    ctx.authorize(
        &format!("iam:Delete{}PermissionsBoundary", kind.title()),
        &requested.bounded_target(),
    )?;
    requested.change(ctx, |_, policies| match policies.boundary.map(Option::take) {
        Some(Some(_)) => Ok(()),
        _ => Err(absent(&format!(
            "The {} with name {} has no permissions boundary.",
            kind.noun(),
            requested.name
        ))),
    })?;
    Ok(ActionOutput::Empty)
}
