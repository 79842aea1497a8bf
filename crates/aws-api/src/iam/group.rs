//! Groups and their members.

use std::sync::Arc;

use super::entity::{
    Detail, Entity, Named, PAGING, absent, arn, check_quota, conflict, current, existing_name,
    limit, list, new_name, path, write_group, write_user,
};
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{Group, User, seconds};
use countersign_authority::random;
use countersign_authority::store::{Draft, Record as _, State, account_key};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("CreateGroup", &["GroupName", "Path"], create),
    Action::reads("GetGroup", &["GroupName", "Marker", "MaxItems"], get),
    Action::reads("ListGroups", &["PathPrefix", "Marker", "MaxItems"], list_groups),
    Action::writes("UpdateGroup", &["GroupName", "NewGroupName", "NewPath"], update),
    Action::writes("DeleteGroup", &["GroupName"], delete),
    Action::writes("AddUserToGroup", &["GroupName", "UserName"], add_user),
    Action::writes("RemoveUserFromGroup", &["GroupName", "UserName"], remove_user),
    Action::reads("ListGroupsForUser", &["UserName", "Marker", "MaxItems"], list_for_user),
];

/// Maximum number of groups of an account and of a user.
/// Source: "IAM and AWS STS quotas" in the IAM user guide.
pub(super) const MAX_GROUPS: usize = 300;
pub(super) const MAX_GROUPS_OF_USER: usize = 10;

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = new_name::<Group>("GroupName", ctx.parameters.required("GroupName")?)?;
    let path = path(ctx.parameters, "Path")?.unwrap_or("/");
    ctx.authorize("iam:CreateGroup", &Target::of(&arn(ctx, Group::TYPE, path, name)?))?;
    let account = ctx.account()?;
    let group = ctx.api.store().change(|draft| {
        if draft.groups.contains_key(&account_key(account.as_str(), name)) {
            return Err(Group::exists(name));
        }
        check_quota::<Group>(draft, account.as_str(), "GroupsPerAccount", MAX_GROUPS)?;
        Ok(draft.put(Group {
            account: account.clone(),
            path: path.to_owned(),
            name: name.to_owned(),
            unique_id: random::id("AGPA", 17)?,
            created: seconds(ctx.now),
            inline: Default::default(),
            attached: Default::default(),
        })?)
    })?;
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.element("Group", |xml| write_group(xml, &group, partition));
    Ok(xml.into())
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let group = Named::<Group>::from_request(ctx)?.authorized(ctx, "iam:GetGroup")?;
    let page = PAGING.page(ctx, members(&ctx.state, &group).map(|user| (user.id(), user)))?;
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.element("Group", |xml| write_group(xml, &group, partition));
    xml.list("Users", "member", &page.items, |xml, user| {
        write_user(xml, user, partition, Detail::Listed)
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}

/// Returns the members of a group.
fn members<'a>(state: &'a State, group: &'a Group) -> impl Iterator<Item = &'a Arc<User>> + 'a {
    state
        .of_account::<User>(group.account.as_str())
        .filter(|user| user.groups.contains(&group.name))
}

fn list_groups(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (page, partition, mut xml) =
        (list::<Group>(ctx, "iam:ListGroups")?, ctx.partition()?, Xml::new());
    xml.list("Groups", "member", &page.items, |xml, group| write_group(xml, group, partition));
    page.write_truncation(&mut xml);
    Ok(xml.into())
}

/// `UpdateGroup`: the caller must be authorized for both the old and the new name.
fn update(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = ctx
        .parameters
        .text("NewGroupName")
        .map(|name| new_name::<Group>("NewGroupName", name))
        .transpose()?;
    let path = path(ctx.parameters, "NewPath")?;
    let requested = Named::<Group>::from_request(ctx)?.authorized(ctx, "iam:UpdateGroup")?;
    let renamed = |group: &Group| Group {
        name: name.unwrap_or(&group.name).to_owned(),
        path: path.unwrap_or(&group.path).to_owned(),
        ..Group::clone(group)
    };
    ctx.authorize("iam:UpdateGroup", &Target::of(&renamed(&requested).arn(ctx.partition()?)))?;
    ctx.api.store().change(|draft| {
        let old = current(draft, &*requested)?;
        let new = renamed(&old);
        if new.id() != old.id() && draft.groups.contains_key(&new.id()) {
            return Err(Group::exists(&new.name));
        }
        for user in members(draft, &old).cloned().collect::<Vec<_>>() {
            let mut user = User::clone(&user);
            user.groups.remove(&old.name);
            user.groups.insert(new.name.clone());
            draft.put(user)?;
        }
        draft.remove::<Group>(&old.id());
        draft.put(new)?;
        Ok(ActionOutput::Empty)
    })
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let requested = Named::<Group>::from_request(ctx)?.authorized(ctx, "iam:DeleteGroup")?;
    ctx.api.store().change(|draft| {
        let group = current(draft, &*requested)?;
        let hindrances = [
            (members(draft, &group).next().is_some(), "remove users from group"),
            (!group.attached.is_empty(), "detach all policies"),
            (!group.inline.is_empty(), "delete policies"),
        ];
        if let Some((_, first)) = hindrances.into_iter().find(|(hinders, _)| *hinders) {
            return Err(conflict(first));
        }
        draft.remove::<Group>(&group.id());
        Ok(ActionOutput::Empty)
    })
}

/// `AddUserToGroup`: adding a member again is not an error.
fn add_user(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    change_member(ctx, "iam:AddUserToGroup", |user, group| {
        user.groups.insert(group.name.clone());
        if user.groups.len() > MAX_GROUPS_OF_USER {
            Err(limit("GroupsPerUser", MAX_GROUPS_OF_USER))
        } else {
            Ok(())
        }
    })
}

fn remove_user(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    change_member(ctx, "iam:RemoveUserFromGroup", |user, group| {
        match user.groups.remove(&group.name) {
            true => Ok(()),
            false => Err(absent(&format!(
                "The user with name {} is not in the group with name {}.",
                user.name, group.name
            ))),
        }
    })
}

/// Changes the groups of a user. The caller must be authorized for the group.
fn change_member(
    ctx: &RequestContext<'_>,
    action: &str,
    change: impl Fn(&mut User, &Group) -> Result<(), ApiError>,
) -> Result<ActionOutput, ApiError> {
    let name = existing_name::<User>(ctx.parameters.required("UserName")?)?;
    let requested = Named::<Group>::from_request(ctx)?.authorized(ctx, action)?;
    ctx.api.store().change(|draft: &mut Draft| {
        let group = current(draft, &*requested)?;
        let mut user = draft
            .users
            .get(&account_key(group.account.as_str(), name))
            .map(|user| User::clone(user))
            .ok_or_else(|| User::absent(name))?;
        change(&mut user, &group)?;
        draft.put(user)?;
        Ok(ActionOutput::Empty)
    })
}

fn list_for_user(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = Named::<User>::from_request(ctx)?.authorized(ctx, "iam:ListGroupsForUser")?;
    let groups = user
        .groups
        .iter()
        .filter_map(|name| ctx.state.groups.get(&account_key(user.account.as_str(), name)));
    let page = PAGING.page(ctx, groups.map(|group| (group.name.clone(), group)))?;
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.list("Groups", "member", &page.items, |xml, group| write_group(xml, group, partition));
    page.write_truncation(&mut xml);
    Ok(xml.into())
}
