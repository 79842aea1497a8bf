//! Inline policies of users, groups and roles.

use countersign_core::policy::PolicyKind;

use super::entity::{PAGING, absent, encoded, new_name, size};
use super::identity::{Asked, Kind};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::ManagedPolicy;
use countersign_authority::store::check_policy;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("PutUserPolicy", &["UserName", "PolicyName", "PolicyDocument"], |call| {
        put(call, Kind::User)
    }),
    Action::writes("PutGroupPolicy", &["GroupName", "PolicyName", "PolicyDocument"], |call| {
        put(call, Kind::Group)
    }),
    Action::writes("PutRolePolicy", &["RoleName", "PolicyName", "PolicyDocument"], |call| {
        put(call, Kind::Role)
    }),
    Action::reads("GetUserPolicy", &["UserName", "PolicyName"], |call| get(call, Kind::User)),
    Action::reads("GetGroupPolicy", &["GroupName", "PolicyName"], |call| get(call, Kind::Group)),
    Action::reads("GetRolePolicy", &["RoleName", "PolicyName"], |call| get(call, Kind::Role)),
    Action::reads("ListUserPolicies", &["UserName", "Marker", "MaxItems"], |call| {
        list(call, Kind::User)
    }),
    Action::reads("ListGroupPolicies", &["GroupName", "Marker", "MaxItems"], |call| {
        list(call, Kind::Group)
    }),
    Action::reads("ListRolePolicies", &["RoleName", "Marker", "MaxItems"], |call| {
        list(call, Kind::Role)
    }),
    Action::writes("DeleteUserPolicy", &["UserName", "PolicyName"], |call| {
        delete(call, Kind::User)
    }),
    Action::writes("DeleteGroupPolicy", &["GroupName", "PolicyName"], |call| {
        delete(call, Kind::Group)
    }),
    Action::writes("DeleteRolePolicy", &["RoleName", "PolicyName"], |call| {
        delete(call, Kind::Role)
    }),
];

fn put(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (asked, policy) = (Asked::read(call, kind)?, policy_name(call)?);
    call.authorize(&format!("iam:Put{}Policy", kind.title()), &asked.bounded_target())?;
    let document = call.parameters.required("PolicyDocument")?;
    let most = kind.inline_size();
    let too_long = || {
        ApiError::new(
            "LimitExceeded",
            409,
            &format!(
                "Maximum policy size of {most} bytes exceeded for {} {}",
                kind.noun(),
                asked.name
            ),
        )
    };
    if size(document) > most {
        return Err(too_long());
    }
    check_policy(policy, document, PolicyKind::Identity)?;
    asked.change(call, |_, policies| {
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
fn policy_name<'a>(call: &RequestContext<'a>) -> Result<&'a str, ApiError> {
    new_name::<ManagedPolicy>("PolicyName", call.parameters.required("PolicyName")?)
}

fn missing(kind: Kind, policy: &str) -> ApiError {
    absent(&format!("The {} policy with name {policy} cannot be found.", kind.noun()))
}

fn get(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (asked, policy) = (Asked::read(call, kind)?, policy_name(call)?);
    call.authorize(&format!("iam:Get{}Policy", kind.title()), &asked.target())?;
    let found = asked.found()?;
    let document = found.inline().get(policy).ok_or_else(|| missing(kind, policy))?;
    let mut xml = Xml::new();
    xml.leaf(kind.parameter(), found.name())
        .leaf("PolicyName", policy)
        .leaf("PolicyDocument", encoded(document));
    Ok(xml.into())
}

fn list(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let asked = Asked::read(call, kind)?;
    call.authorize(&format!("iam:List{}Policies", kind.title()), &asked.target())?;
    let page =
        PAGING.page(call, asked.found()?.inline().keys().map(|name| (name.clone(), name)))?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    xml.texts("PolicyNames", "member", &page.items);
    Ok(xml.into())
}

fn delete(call: &RequestContext<'_>, kind: Kind) -> Result<ActionOutput, ApiError> {
    let (asked, policy) = (Asked::read(call, kind)?, policy_name(call)?);
    call.authorize(&format!("iam:Delete{}Policy", kind.title()), &asked.bounded_target())?;
    asked.change(call, |_, policies| {
        policies.inline.remove(policy).map(drop).ok_or_else(|| missing(kind, policy))
    })?;
    Ok(ActionOutput::Empty)
}
