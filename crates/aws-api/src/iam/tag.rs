//! Tags of users, roles, policies and instance profiles.

use super::entity::{Entity, Named, PAGING, current};
use super::tag_set::{keys, read, remove, request_facts, set};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{InstanceProfile, ManagedPolicy, Role, Tags, User};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("TagUser", &["UserName", "Tags"], |ctx| {
        tag(ctx, "iam:TagUser", Named::<User>::from_request(ctx)?)
    }),
    Action::writes("UntagUser", &["UserName", "TagKeys"], |ctx| {
        untag(ctx, "iam:UntagUser", Named::<User>::from_request(ctx)?)
    }),
    Action::reads("ListUserTags", &["UserName", "Marker", "MaxItems"], |ctx| {
        list(ctx, "iam:ListUserTags", Named::<User>::from_request(ctx)?)
    }),
    Action::writes("TagRole", &["RoleName", "Tags"], |ctx| {
        tag(ctx, "iam:TagRole", Named::<Role>::from_request(ctx)?)
    }),
    Action::writes("UntagRole", &["RoleName", "TagKeys"], |ctx| {
        untag(ctx, "iam:UntagRole", Named::<Role>::from_request(ctx)?)
    }),
    Action::reads("ListRoleTags", &["RoleName", "Marker", "MaxItems"], |ctx| {
        list(ctx, "iam:ListRoleTags", Named::<Role>::from_request(ctx)?)
    }),
    Action::writes("TagPolicy", &["PolicyArn", "Tags"], |ctx| {
        tag(ctx, "iam:TagPolicy", Named::from_request_arn(ctx)?)
    }),
    Action::writes("UntagPolicy", &["PolicyArn", "TagKeys"], |ctx| {
        untag(ctx, "iam:UntagPolicy", Named::from_request_arn(ctx)?)
    }),
    Action::reads("ListPolicyTags", &["PolicyArn", "Marker", "MaxItems"], |ctx| {
        list::<ManagedPolicy>(ctx, "iam:ListPolicyTags", Named::from_request_arn(ctx)?)
    }),
    Action::writes("TagInstanceProfile", &["InstanceProfileName", "Tags"], |ctx| {
        tag(ctx, "iam:TagInstanceProfile", Named::<InstanceProfile>::from_request(ctx)?)
    }),
    Action::writes("UntagInstanceProfile", &["InstanceProfileName", "TagKeys"], |ctx| {
        untag(ctx, "iam:UntagInstanceProfile", Named::<InstanceProfile>::from_request(ctx)?)
    }),
    Action::reads(
        "ListInstanceProfileTags",
        &["InstanceProfileName", "Marker", "MaxItems"],
        |ctx| {
            list(ctx, "iam:ListInstanceProfileTags", Named::<InstanceProfile>::from_request(ctx)?)
        },
    ),
];

fn tag<E: Entity>(
    ctx: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let tags = read(ctx)?;
    if tags.is_empty() {
        return Err(ApiError::missing("Tags"));
    }
    let requested = named.authorized_with(ctx, action, |target| request_facts(target, &tags))?;
    ctx.api.store().change(|draft| {
        let mut changed = current(draft, &*requested)?;
        changed.tags_mut().map_or(Ok(()), |own| set(own, &tags))?;
        draft.put(changed)?;
        Ok(ActionOutput::Empty)
    })
}

fn untag<E: Entity>(
    ctx: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let keys = keys(ctx)?;
    let requested =
        named.authorized_with(ctx, action, |target| target.with("aws:TagKeys", keys.clone()))?;
    ctx.api.store().change(|draft| {
        let mut changed = current(draft, &*requested)?;
        if let Some(own) = changed.tags_mut() {
            remove(own, &keys);
        }
        draft.put(changed)?;
        Ok(ActionOutput::Empty)
    })
}

fn list<E: Entity>(
    ctx: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let requested = named.authorized(ctx, action)?;
    requested.tags().map_or_else(|| list_of(ctx, &Tags::new()), |tags| list_of(ctx, tags))
}

/// Returns the output for a page of tags.
pub(super) fn list_of(ctx: &RequestContext<'_>, tags: &Tags) -> Result<ActionOutput, ApiError> {
    let page = PAGING.page(ctx, tags.iter().map(|(key, value)| (key.clone(), (key, value))))?;
    let mut xml = Xml::new();
    xml.list("Tags", "member", &page.items, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}
