//! Users.

use std::sync::Arc;

use super::entity::{
    Detail, Entity, Named, arn, check_quota, conflict, current, list, new_name, path, write_user,
};
use super::tag_set;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::PrincipalRecord;
use countersign_authority::model::{AccessKey, User, seconds};
use countersign_authority::random;
use countersign_authority::store::{Record as _, account_key};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("CreateUser", &["UserName", "Path", "PermissionsBoundary", "Tags"], create),
    Action::reads("GetUser", &["UserName"], get),
    Action::reads("ListUsers", &["PathPrefix", "Marker", "MaxItems"], list_users),
    Action::writes("UpdateUser", &["UserName", "NewUserName", "NewPath"], update),
    Action::writes("DeleteUser", &["UserName"], delete),
];

/// Maximum number of users of an account.
/// Source: "IAM and AWS STS quotas" in the IAM user guide.
pub(super) const MAX_USERS: usize = 5000;

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = new_name::<User>("UserName", ctx.parameters.required("UserName")?)?;
    let (path, tags) = (path(ctx.parameters, "Path")?.unwrap_or("/"), tag_set::read(ctx)?);
    let (boundary, arn) =
        (ctx.parameters.text("PermissionsBoundary"), arn(ctx, User::TYPE, path, name)?);
    let target = boundary.into_iter().fold(Target::of(&arn), |target, boundary| {
        target.with("iam:PermissionsBoundary", boundary)
    });
    tag_set::authorize_creation(ctx, ["iam:CreateUser", "iam:TagUser"], target, &tags)?;
    let account = ctx.account()?;
    let user = ctx.api.store().change(|draft| {
        if draft.users.contains_key(&account_key(account.as_str(), name)) {
            return Err(User::exists(name));
        }
        check_quota::<User>(draft, account.as_str(), "UsersPerAccount", MAX_USERS)?;
        boundary.map_or(Ok(()), |arn| super::boundary::check(draft, account.as_str(), arn))?;
        Ok(draft.put(User {
            account: account.clone(),
            path: path.to_owned(),
            name: name.to_owned(),
            unique_id: random::id("AIDA", 17)?,
            created: seconds(ctx.now),
            access_keys: Vec::new(),
            groups: Default::default(),
            inline: Default::default(),
            attached: Default::default(),
            boundary: boundary.map(str::to_owned),
            tags: tags.clone(),
        })?)
    })?;
    answered(ctx, &user)
}

fn answered(ctx: &RequestContext<'_>, user: &User) -> Result<ActionOutput, ApiError> {
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.element("User", |xml| write_user(xml, user, partition, Detail::Whole));
    Ok(xml.into())
}

/// Returns the user named in a request, else the caller.
pub(super) fn named_or_caller(ctx: &RequestContext<'_>) -> Result<Named<User>, ApiError> {
    match (ctx.parameters.text("UserName"), &ctx.identity()?.principal) {
        (Some(_), _) => Named::from_request(ctx),
        (None, PrincipalRecord::User(user)) => Named::of(ctx, &user.name),
        (None, PrincipalRecord::Role(_)) => {
            Err(ApiError::invalid("Must specify userName when calling with non-User credentials"))
        }
    }
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    answered(ctx, &*named_or_caller(ctx)?.authorized(ctx, "iam:GetUser")?)
}

fn list_users(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (page, partition, mut xml) =
        (list::<User>(ctx, "iam:ListUsers")?, ctx.partition()?, Xml::new());
    xml.list("Users", "member", &page.items, |xml, user| {
        write_user(xml, user, partition, Detail::Listed)
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}

/// `UpdateUser`: the caller must be authorized for both the old and the new name.
fn update(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = ctx
        .parameters
        .text("NewUserName")
        .map(|name| new_name::<User>("NewUserName", name))
        .transpose()?;
    let path = path(ctx.parameters, "NewPath")?;
    let requested = Named::<User>::from_request(ctx)?.authorized(ctx, "iam:UpdateUser")?;
    let renamed = |user: &User| User {
        name: name.unwrap_or(&user.name).to_owned(),
        path: path.unwrap_or(&user.path).to_owned(),
        ..User::clone(user)
    };
    let arn = renamed(&requested).arn(ctx.partition()?);
    ctx.authorize(
        "iam:UpdateUser",
        &tag_set::resource_facts(Target::of(&arn), Some(&requested.tags)),
    )?;
    ctx.api.store().change(|draft| {
        let old = current(draft, &*requested)?;
        let new = renamed(&old);
        if new.id() != old.id() && draft.users.contains_key(&new.id()) {
            return Err(User::exists(&new.name));
        }
        for id in &new.access_keys {
            if let Some(key) = draft.access_keys.get(id.as_str()).map(Arc::clone) {
                draft.put(AccessKey { user: new.name.clone(), ..AccessKey::clone(&key) })?;
            }
        }
        draft.remove::<User>(&old.id());
        draft.put(new)?;
        Ok(ActionOutput::Empty)
    })
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let requested = Named::<User>::from_request(ctx)?.authorized(ctx, "iam:DeleteUser")?;
    ctx.api.store().change(|draft| {
        let user = current(draft, &*requested)?;
        let hindrances = [
            (!user.access_keys.is_empty(), "delete access keys"),
            (!user.groups.is_empty(), "remove users from group"),
            (!user.attached.is_empty(), "detach all policies"),
            (!user.inline.is_empty(), "delete policies"),
        ];
        if let Some((_, first)) = hindrances.into_iter().find(|(hinders, _)| *hinders) {
            return Err(conflict(first));
        }
        draft.remove::<User>(&user.id());
        Ok(ActionOutput::Empty)
    })
}
