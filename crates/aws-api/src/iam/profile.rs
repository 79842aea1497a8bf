//! Instance profiles: roles of machines.

use std::sync::Arc;

use countersign_core::region::Partition;

use super::entity::{
    Detail, Entity, Named, PAGING, absent, arn, check_quota, conflict, current, date, limit, list,
    new_name, path, write_role,
};
use super::tag_set;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{InstanceProfile, Role, seconds};
use countersign_authority::random;
use countersign_authority::store::{Record as _, State, account_key};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("CreateInstanceProfile", &["InstanceProfileName", "Path", "Tags"], create),
    Action::reads("GetInstanceProfile", &["InstanceProfileName"], get),
    Action::reads("ListInstanceProfiles", &["PathPrefix", "Marker", "MaxItems"], list_profiles),
    Action::writes("DeleteInstanceProfile", &["InstanceProfileName"], delete),
    Action::writes("AddRoleToInstanceProfile", &["InstanceProfileName", "RoleName"], add_role),
    Action::writes(
        "RemoveRoleFromInstanceProfile",
        &["InstanceProfileName", "RoleName"],
        remove_role,
    ),
    Action::reads(
        "ListInstanceProfilesForRole",
        &["RoleName", "Marker", "MaxItems"],
        list_for_role,
    ),
];

/// Maximum number of instance profiles of an account.
/// Source: "IAM and AWS STS quotas" in the IAM user guide.
pub(super) const MAX_PROFILES: usize = 1000;

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = new_name::<InstanceProfile>(
        "InstanceProfileName",
        ctx.parameters.required("InstanceProfileName")?,
    )?;
    let (path, tags) = (path(ctx.parameters, "Path")?.unwrap_or("/"), tag_set::read(ctx)?);
    let arn = arn(ctx, InstanceProfile::TYPE, path, name)?;
    tag_set::authorize_creation(
        ctx,
        ["iam:CreateInstanceProfile", "iam:TagInstanceProfile"],
        Target::of(&arn),
        &tags,
    )?;
    let account = ctx.account()?;
    let profile = ctx.api.store().change(|draft| {
        if draft.profiles.contains_key(&account_key(account.as_str(), name)) {
            return Err(InstanceProfile::exists(name));
        }
        check_quota::<InstanceProfile>(
            draft,
            account.as_str(),
            "InstanceProfilesPerAccount",
            MAX_PROFILES,
        )?;
        Ok(draft.put(InstanceProfile {
            account: account.clone(),
            path: path.to_owned(),
            name: name.to_owned(),
            unique_id: random::id("AIPA", 17)?,
            created: seconds(ctx.now),
            role: None,
            tags: tags.clone(),
        })?)
    })?;
    answered(ctx, &profile)
}

fn answered(ctx: &RequestContext<'_>, profile: &InstanceProfile) -> Result<ActionOutput, ApiError> {
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.element("InstanceProfile", |xml| write(xml, &ctx.state, profile, partition, Detail::Whole));
    Ok(xml.into())
}

/// Writes the content of an `InstanceProfile`.
pub(super) fn write(
    xml: &mut Xml,
    state: &State,
    profile: &InstanceProfile,
    partition: Partition,
    detail: Detail,
) {
    xml.leaf("Path", &profile.path)
        .leaf("InstanceProfileName", &profile.name)
        .leaf("InstanceProfileId", &profile.unique_id);
    xml.leaf("Arn", profile.arn(partition)).leaf("CreateDate", date(profile.created));
    let role = profile
        .role
        .as_ref()
        .and_then(|name| state.roles.get(&account_key(profile.account.as_str(), name)));
    xml.list("Roles", "member", role, |xml, role| write_role(xml, role, partition, Detail::Listed));
    if detail == Detail::Whole {
        tag_set::write_present(xml, &profile.tags);
    }
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    answered(ctx, &*Named::from_request(ctx)?.authorized(ctx, "iam:GetInstanceProfile")?)
}

fn list_profiles(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (page, partition, mut xml) =
        (list::<InstanceProfile>(ctx, "iam:ListInstanceProfiles")?, ctx.partition()?, Xml::new());
    xml.list("InstanceProfiles", "member", &page.items, |xml, profile| {
        write(xml, &ctx.state, profile, partition, Detail::Listed)
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let requested = Named::<InstanceProfile>::from_request(ctx)?
        .authorized(ctx, "iam:DeleteInstanceProfile")?;
    ctx.api.store().change(|draft| {
        let profile = current(draft, &*requested)?;
        if profile.role.is_some() {
            return Err(conflict("remove roles from instance profile"));
        }
        draft.remove::<InstanceProfile>(&profile.id());
        Ok(ActionOutput::Empty)
    })
}

/// `AddRoleToInstanceProfile`: passes the role to machines, so it also requires `iam:PassRole`.
fn add_role(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (profile, role) =
        (Named::<InstanceProfile>::from_request(ctx)?, Named::<Role>::from_request(ctx)?);
    let profile = profile.authorized(ctx, "iam:AddRoleToInstanceProfile")?;
    let role = role.authorized_with(ctx, "iam:PassRole", |target| {
        target.with("iam:PassedToService", "ec2.amazonaws.com")
    })?;
    ctx.api.store().change(|draft| {
        let role = current(draft, &*role)?;
        let profile = current(draft, &*profile)?;
        if profile.role.is_some() {
            return Err(limit("InstanceSessionsPerInstanceProfile", 1));
        }
        draft.put(InstanceProfile { role: Some(role.name), ..profile })?;
        Ok(ActionOutput::Empty)
    })
}

fn remove_role(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role_name = ctx.parameters.required("RoleName")?;
    let requested = Named::<InstanceProfile>::from_request(ctx)?
        .authorized(ctx, "iam:RemoveRoleFromInstanceProfile")?;
    ctx.api.store().change(|draft| {
        let profile = current(draft, &*requested)?;
        if !profile.role.as_ref().is_some_and(|role| role.eq_ignore_ascii_case(role_name)) {
            return Err(absent(&format!(
                "The role with name {role_name} is not in the instance profile {}.",
                profile.name
            )));
        }
        draft.put(InstanceProfile { role: None, ..profile })?;
        Ok(ActionOutput::Empty)
    })
}

fn list_for_role(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role =
        Named::<Role>::from_request(ctx)?.authorized(ctx, "iam:ListInstanceProfilesForRole")?;
    let profiles = ctx.state.of_account::<InstanceProfile>(role.account.as_str());
    let of_role = profiles
        .filter(|profile: &&Arc<InstanceProfile>| profile.role.as_ref() == Some(&role.name));
    let page = PAGING.page(ctx, of_role.map(|profile| (profile.id(), profile)))?;
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.list("InstanceProfiles", "member", &page.items, |xml, profile| {
        write(xml, &ctx.state, profile, partition, Detail::Listed)
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}
