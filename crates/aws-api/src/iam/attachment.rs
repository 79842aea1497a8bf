//! Attachment of managed policies to users, groups and roles.

use super::entity::{PAGING, absent, limit, path_prefix};
use super::identity::{Kind, RequestedIdentity};
use super::policy::{Managed, path_and_name};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Maximum number of managed policies of an identity. Source: "IAM and AWS STS quotas".
pub(super) const MAX_ATTACHED: usize = 10;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("AttachUserPolicy", &["UserName", "PolicyArn"], |ctx| attach(ctx, Kind::User)),
    Action::writes("AttachGroupPolicy", &["GroupName", "PolicyArn"], |ctx| {
        attach(ctx, Kind::Group)
    }),
    Action::writes("AttachRolePolicy", &["RoleName", "PolicyArn"], |ctx| attach(ctx, Kind::Role)),
    Action::writes("DetachUserPolicy", &["UserName", "PolicyArn"], |ctx| detach(ctx, Kind::User)),
    Action::writes("DetachGroupPolicy", &["GroupName", "PolicyArn"], |ctx| {
        detach(ctx, Kind::Group)
    }),
    Action::writes("DetachRolePolicy", &["RoleName", "PolicyArn"], |ctx| detach(ctx, Kind::Role)),
    Action::reads(
        "ListAttachedUserPolicies",
        &["UserName", "PathPrefix", "Marker", "MaxItems"],
        |ctx| list(ctx, Kind::User),
    ),
    Action::reads(
        "ListAttachedGroupPolicies",
        &["GroupName", "PathPrefix", "Marker", "MaxItems"],
        |ctx| list(ctx, Kind::Group),
    ),
    Action::reads(
        "ListAttachedRolePolicies",
        &["RoleName", "PathPrefix", "Marker", "MaxItems"],
        |ctx| list(ctx, Kind::Role),
    ),
];

/// Writes `AttachedPolicies` or `AttachedManagedPolicies`.
pub(super) fn write<'a>(xml: &mut Xml, element: &str, arns: impl IntoIterator<Item = &'a String>) {
    xml.list(element, "member", arns, |xml, arn| {
        xml.optional_leaf("PolicyName", path_and_name(arn).map(|(_, name)| name))
            .leaf("PolicyArn", arn);
    });
}

fn attach(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, arn) =
        (RequestedIdentity::read(ctx, kind)?, ctx.parameters.required("PolicyArn")?);
    ctx.authorize(
        &format!("iam:Attach{}Policy", kind.title()),
        &requested.bounded_target().with("iam:PolicyARN", arn),
    )?;
    let account = ctx.account()?.as_str();
    requested.change(ctx, |state, policies| {
        if Managed::find(state, account, arn).is_none() {
            return Err(absent(&format!("Policy {arn} does not exist or is not attachable.")));
        }
        if policies.attached.insert(arn.to_owned()) && policies.attached.len() > MAX_ATTACHED {
            return Err(limit(&format!("PoliciesPer{}", kind.title()), MAX_ATTACHED));
        }
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

fn detach(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, arn) =
        (RequestedIdentity::read(ctx, kind)?, ctx.parameters.required("PolicyArn")?);
    ctx.authorize(
        &format!("iam:Detach{}Policy", kind.title()),
        &requested.bounded_target().with("iam:PolicyARN", arn),
    )?;
    requested.change(ctx, |_, policies| {
        if policies.attached.remove(arn) {
            Ok(())
        } else {
            Err(absent(&format!("Policy {arn} was not found.")))
        }
    })?;
    Ok(ActionOutput::Empty)
}

fn list(ctx: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (requested, prefix) = (RequestedIdentity::read(ctx, kind)?, path_prefix(ctx.parameters)?);
    ctx.authorize(&format!("iam:ListAttached{}Policies", kind.title()), &requested.target())?;
    let fits = |arn: &&String| path_and_name(arn).is_some_and(|(path, _)| path.starts_with(prefix));
    let attached = requested.identity()?.attached().iter().filter(fits);
    let page = PAGING.page(ctx, attached.map(|arn| (arn.clone(), arn)))?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    write(&mut xml, "AttachedPolicies", page.items.iter().copied());
    Ok(xml.into())
}
