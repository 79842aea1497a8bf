//! Access keys of users.

use std::sync::Arc;

use countersign_core::name::AccessKeyId;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::entity::{Named, PAGING, absent, current, date, limit};
use super::user::named_or_caller;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{AccessKey, User, seconds};
use countersign_authority::random;
use countersign_authority::store::{Draft, account_key};

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("CreateAccessKey", &["UserName"], create),
    Action::reads("ListAccessKeys", &["UserName", "Marker", "MaxItems"], list),
    Action::writes("UpdateAccessKey", &["UserName", "AccessKeyId", "Status"], update),
    Action::writes("DeleteAccessKey", &["UserName", "AccessKeyId"], delete),
    Action::reads("GetAccessKeyLastUsed", &["AccessKeyId"], get_last_used),
];

/// Maximum number of keys of a user.
/// Source: "IAM and AWS STS quotas" in the IAM user guide.
pub(super) const MAX_KEYS: usize = 2;

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let requested = named_or_caller(ctx)?.authorized(ctx, "iam:CreateAccessKey")?;
    let key = ctx.api.store().change(|draft| {
        let mut user = current(draft, &*requested)?;
        if user.access_keys.len() >= MAX_KEYS {
            return Err(limit("AccessKeysPerUser", MAX_KEYS));
        }
        let credentials = random::credentials("AKIA")?;
        user.access_keys.push(credentials.access_key_id.clone());
        let key = draft.put(AccessKey {
            id: credentials.access_key_id,
            account: user.account.clone(),
            user: user.name.clone(),
            secret: Zeroizing::new(credentials.secret.expose().to_owned()),
            status: KeyStatus::Active,
            created: seconds(ctx.now),
        })?;
        draft.put(user)?;
        Ok::<_, ApiError>(key)
    })?;
    let mut xml = Xml::new();
    xml.element("AccessKey", |xml| {
        write(xml, &key);
        xml.leaf("SecretAccessKey", key.secret.as_str());
    });
    Ok(xml.into())
}

/// Writes the elements that all responses about a key share.
fn write(xml: &mut Xml, key: &AccessKey) {
    let status = match key.status {
        KeyStatus::Active => "Active",
        KeyStatus::Inactive => "Inactive",
    };
    xml.leaf("UserName", &key.user)
        .leaf("AccessKeyId", &key.id)
        .leaf("Status", status)
        .leaf("CreateDate", date(key.created));
}

/// Returns the keys of a user, the oldest first.
fn list(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let user = named_or_caller(ctx)?.authorized(ctx, "iam:ListAccessKeys")?;
    let keys = user.access_keys.iter().filter_map(|id| ctx.state.access_keys.get(id.as_str()));
    let page = PAGING.page(ctx, keys.enumerate().map(|(at, key)| (at.to_string(), key)))?;
    let mut xml = Xml::new();
    xml.list("AccessKeyMetadata", "member", &page.items, |xml, key| write(xml, key));
    page.write_truncation(&mut xml);
    Ok(xml.into())
}

fn update(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let status = match ctx.parameters.required("Status")? {
        "Active" => KeyStatus::Active,
        "Inactive" => KeyStatus::Inactive,
        _ => {
            let constraint = "Member must satisfy enum value set: [Active, Inactive]";
            return Err(ApiError::invalid(&format!(
                "1 validation error detected: Value at 'status' failed to satisfy constraint: \
                 {constraint}"
            )));
        }
    };
    change(ctx, "iam:UpdateAccessKey", |draft, _, key| {
        draft.put(AccessKey { status, ..AccessKey::clone(key) })?;
        Ok(())
    })
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    change(ctx, "iam:DeleteAccessKey", |draft, mut user, key| {
        user.access_keys.retain(|id| *id != key.id);
        draft.put(user)?;
        draft.remove::<AccessKey>(key.id.as_str());
        Ok(())
    })
}

/// Changes a key, which must belong to the user that the caller may change.
fn change(
    ctx: &RequestContext<'_>,
    action: &str,
    change: impl Fn(&mut Draft, User, &AccessKey) -> Result<(), ApiError>,
) -> Result<ActionOutput, ApiError> {
    let id = ctx.parameters.required("AccessKeyId")?;
    let requested = named_or_caller(ctx)?.authorized(ctx, action)?;
    ctx.api.store().change(|draft| {
        let user = current(draft, &*requested)?;
        let key = draft
            .access_keys
            .get(id)
            .filter(|key| user.access_keys.contains(&key.id))
            .map(Arc::clone)
            .ok_or_else(|| gone(id))?;
        change(draft, user, &key)?;
        Ok(ActionOutput::Empty)
    })
}

fn gone(id: &str) -> ApiError {
    absent(&format!("The Access Key with id {id} cannot be found."))
}

/// `GetAccessKeyLastUsed`: the authority does not record uses of keys, so it returns `N/A`, as AWS
/// does for a key without known use.
fn get_last_used(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let id: AccessKeyId = ctx.parameters.required("AccessKeyId")?.parse()?;
    let key = ctx
        .state
        .access_keys
        .get(id.as_str())
        .filter(|key| ctx.account().is_ok_and(|account| key.account == *account));
    let Some(user) =
        key.and_then(|key| ctx.state.users.get(&account_key(key.account.as_str(), &key.user)))
    else {
        ctx.authorize("iam:GetAccessKeyLastUsed", &Target::of("*"))?;
        return Err(gone(id.as_str()));
    };
    let user = Named::<User>::of(ctx, &user.name)?.authorized(ctx, "iam:GetAccessKeyLastUsed")?;
    let mut xml = Xml::new();
    xml.leaf("UserName", &user.name).element("AccessKeyLastUsed", |xml| {
        xml.leaf("ServiceName", "N/A").leaf("Region", "N/A");
    });
    Ok(xml.into())
}
