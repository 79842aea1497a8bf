//! Tags of users, roles, policies and instance profiles.

use super::entity::{Entity, Named, PAGING, current};
use super::tag_set::{keys, read, remove, request_facts, set};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{InstanceProfile, ManagedPolicy, Role, Tags, User};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("TagUser", &["UserName", "Tags"], |call| {
        tag(call, "iam:TagUser", Named::<User>::asked(call)?)
    }),
    Action::writes("UntagUser", &["UserName", "TagKeys"], |call| {
        untag(call, "iam:UntagUser", Named::<User>::asked(call)?)
    }),
    Action::reads("ListUserTags", &["UserName", "Marker", "MaxItems"], |call| {
        list(call, "iam:ListUserTags", Named::<User>::asked(call)?)
    }),
    Action::writes("TagRole", &["RoleName", "Tags"], |call| {
        tag(call, "iam:TagRole", Named::<Role>::asked(call)?)
    }),
    Action::writes("UntagRole", &["RoleName", "TagKeys"], |call| {
        untag(call, "iam:UntagRole", Named::<Role>::asked(call)?)
    }),
    Action::reads("ListRoleTags", &["RoleName", "Marker", "MaxItems"], |call| {
        list(call, "iam:ListRoleTags", Named::<Role>::asked(call)?)
    }),
    Action::writes("TagPolicy", &["PolicyArn", "Tags"], |call| {
        tag(call, "iam:TagPolicy", Named::asked_by_arn(call)?)
    }),
    Action::writes("UntagPolicy", &["PolicyArn", "TagKeys"], |call| {
        untag(call, "iam:UntagPolicy", Named::asked_by_arn(call)?)
    }),
    Action::reads("ListPolicyTags", &["PolicyArn", "Marker", "MaxItems"], |call| {
        list::<ManagedPolicy>(call, "iam:ListPolicyTags", Named::asked_by_arn(call)?)
    }),
    Action::writes("TagInstanceProfile", &["InstanceProfileName", "Tags"], |call| {
        tag(call, "iam:TagInstanceProfile", Named::<InstanceProfile>::asked(call)?)
    }),
    Action::writes("UntagInstanceProfile", &["InstanceProfileName", "TagKeys"], |call| {
        untag(call, "iam:UntagInstanceProfile", Named::<InstanceProfile>::asked(call)?)
    }),
    Action::reads(
        "ListInstanceProfileTags",
        &["InstanceProfileName", "Marker", "MaxItems"],
        |call| list(call, "iam:ListInstanceProfileTags", Named::<InstanceProfile>::asked(call)?),
    ),
];

fn tag<E: Entity>(
    call: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let tags = read(call)?;
    if tags.is_empty() {
        return Err(ApiError::missing("Tags"));
    }
    let found = named.authorized_with(call, action, |target| request_facts(target, &tags))?;
    call.api.store().change(|draft| {
        let mut changed = current(draft, &*found)?;
        changed.tags_mut().map_or(Ok(()), |own| set(own, &tags))?;
        draft.put(changed)?;
        Ok(ActionOutput::Empty)
    })
}

fn untag<E: Entity>(
    call: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let keys = keys(call)?;
    let found =
        named.authorized_with(call, action, |target| target.with("aws:TagKeys", keys.clone()))?;
    call.api.store().change(|draft| {
        let mut changed = current(draft, &*found)?;
        if let Some(own) = changed.tags_mut() {
            remove(own, &keys);
        }
        draft.put(changed)?;
        Ok(ActionOutput::Empty)
    })
}

fn list<E: Entity>(
    call: &RequestContext<'_>,
    action: &str,
    named: Named<E>,
) -> Result<ActionOutput, ApiError> {
    let found = named.authorized(call, action)?;
    found.tags().map_or_else(|| list_of(call, &Tags::new()), |tags| list_of(call, tags))
}

/// Returns the output for a page of tags.
pub(super) fn list_of(call: &RequestContext<'_>, tags: &Tags) -> Result<ActionOutput, ApiError> {
    let page = PAGING.page(call, tags.iter().map(|(key, value)| (key.clone(), (key, value))))?;
    let mut xml = Xml::new();
    xml.list("Tags", "member", &page.items, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
    page.write_truncation(&mut xml);
    Ok(xml.into())
}
