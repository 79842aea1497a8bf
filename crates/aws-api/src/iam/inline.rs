//! Inline policies of users, groups and roles.

use countersign_core::policy::PolicyKind;

use super::entity::{PAGING, absent, encoded, new_name, size};
use super::identity::{Kind, RequestedIdentity};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::ManagedPolicy;
use countersign_authority::store::check_policy;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("PutUserPolicy", &["UserName", "PolicyName", "PolicyDocument"], |ctx| {
        put(ctx, Kind::User)
    }),
    Action::writes("PutGroupPolicy", &["GroupName", "PolicyName", "PolicyDocument"], |ctx| {
        put(ctx, Kind::Group)
    }),
    Action::writes("PutRolePolicy", &["RoleName", "PolicyName", "PolicyDocument"], |ctx| {
        put(ctx, Kind::Role)
    }),
    Action::reads("GetUserPolicy", &["UserName", "PolicyName"], |ctx| get(ctx, Kind::User)),
    Action::reads("GetGroupPolicy", &["GroupName", "PolicyName"], |ctx| get(ctx, Kind::Group)),
    Action::reads("GetRolePolicy", &["RoleName", "PolicyName"], |ctx| get(ctx, Kind::Role)),
    Action::reads("ListUserPolicies", &["UserName", "Marker", "MaxItems"], |ctx| {
        list(ctx, Kind::User)
    }),
    Action::reads("ListGroupPolicies", &["GroupName", "Marker", "MaxItems"], |ctx| {
        list(ctx, Kind::Group)
    }),
    Action::reads("ListRolePolicies", &["RoleName", "Marker", "MaxItems"], |ctx| {
        list(ctx, Kind::Role)
    }),
    Action::writes("DeleteUserPolicy", &["UserName", "PolicyName"], |ctx| delete(ctx, Kind::User)),
    Action::writes("DeleteGroupPolicy", &["GroupName", "PolicyName"], |ctx| {
        delete(ctx, Kind::Group)
    }),
    Action::writes("DeleteRolePolicy", &["RoleName", "PolicyName"], |ctx| delete(ctx, Kind::Role)),
];

fn put(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, policy) = (RequestedIdentity::read(ctx, kind)?, policy_name(ctx)?);
    ctx.authorize(&format!("iam:Put{}Policy", kind.title()), &requested.bounded_target())?;
    let document = ctx.parameters.required("PolicyDocument")?;
    let most = kind.inline_size();
    let too_long = || {
        ApiError::new(
            "LimitExceeded",
            409,
            &format!(
                "Maximum policy size of {most} bytes exceeded for {} {}",
                kind.noun(),
                requested.name
            ),
        )
    };
    if size(document) > most {
        return Err(too_long());
    }
    check_policy(policy, document, PolicyKind::Identity)?;
    requested.change(ctx, |_, policies| {
        policies.inline.insert(policy.to_owned(), document.to_owned());
        if policies.inline.values().map(|document| size(document)).sum::<usize>() > most {
            Err(too_long())
        } else {
            Ok(())
        }
    })?;
    Ok(ActionOutput::Empty)
}

/// Validates a policy's name, which has the form of a managed policy's.
fn policy_name<'a>(ctx: &RequestContext<'a>) -> Result<&'a str, ApiError> {
    new_name::<ManagedPolicy>("PolicyName", ctx.parameters.required("PolicyName")?)
}

fn missing(kind: Kind, policy: &str) -> ApiError {
    absent(&format!("The {} policy with name {policy} cannot be found.", kind.noun()))
}

fn get(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, policy) = (RequestedIdentity::read(ctx, kind)?, policy_name(ctx)?);
    ctx.authorize(&format!("iam:Get{}Policy", kind.title()), &requested.target())?;
    let identity = requested.identity()?;
    let document = identity.inline().get(policy).ok_or_else(|| missing(kind, policy))?;
    let mut xml = Xml::new();
    xml.leaf(kind.parameter(), identity.name())
        .leaf("PolicyName", policy)
        .leaf("PolicyDocument", encoded(document));
    Ok(xml.into())
}

fn list(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let requested = RequestedIdentity::read(ctx, kind)?;
    ctx.authorize(&format!("iam:List{}Policies", kind.title()), &requested.target())?;
    let page =
        PAGING.page(ctx, requested.identity()?.inline().keys().map(|name| (name.clone(), name)))?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    xml.texts("PolicyNames", "member", &page.items);
    Ok(xml.into())
}

fn delete(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, policy) = (RequestedIdentity::read(ctx, kind)?, policy_name(ctx)?);
    ctx.authorize(&format!("iam:Delete{}Policy", kind.title()), &requested.bounded_target())?;
    requested.change(ctx, |_, policies| {
        policies.inline.remove(policy).map(drop).ok_or_else(|| missing(kind, policy))
    })?;
    Ok(ActionOutput::Empty)
}
