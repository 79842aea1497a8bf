//! Versions of managed policies, and the entities of a policy.

use super::entity::{PAGING, absent, date, encoded, path_prefix};
use super::identity::{Identity, Kind};
use super::policy::{Managed, allowed, allowed_own, current, document, usage_filter};
use crate::action::{Action, ActionOutput};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{PolicyVersion, seconds};
use countersign_authority::store::Draft;

/// Maximum number of versions of a policy. Source: "IAM and AWS STS quotas".
pub(super) const MAX_VERSIONS: usize = 5;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes("CreatePolicyVersion", &["PolicyArn", "PolicyDocument", "SetAsDefault"], create),
    Action::reads("GetPolicyVersion", &["PolicyArn", "VersionId"], get),
    Action::reads("ListPolicyVersions", &["PolicyArn", "Marker", "MaxItems"], list),
    Action::writes("DeletePolicyVersion", &["PolicyArn", "VersionId"], delete),
    Action::writes("SetDefaultPolicyVersion", &["PolicyArn", "VersionId"], set_default),
    Action::reads(
        "ListEntitiesForPolicy",
        &["PolicyArn", "EntityFilter", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems"],
        list_entities,
    ),
];

/// Writes a version; only some responses include its document.
fn write(
    xml: &mut Xml,
    number: u32,
    is_default: bool,
    version: &PolicyVersion,
    with_document: bool,
) {
    xml.optional_leaf("Document", with_document.then(|| encoded(&version.document)))
        .leaf("VersionId", format!("v{number}"));
    xml.leaf("IsDefaultVersion", is_default).leaf("CreateDate", date(version.created));
}

/// Returns all versions with their documents, the newest first.
pub(super) fn write_all(xml: &mut Xml, policy: &Managed) {
    let default = policy.default_version();
    xml.list(
        "PolicyVersionList",
        "member",
        policy.versions().iter().rev(),
        |xml, (number, version)| {
            write(xml, *number, *number == default, version, true);
        },
    );
}

/// Returns the number after the `v` of `VersionId`.
fn number(ctx: &RequestContext<'_>) -> Result<u32, ApiError> {
    let id = ctx.parameters.required("VersionId")?;
    let digits = id.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        ApiError::invalid(&format!(
            "1 validation error detected: Value '{id}' at 'versionId' failed to satisfy \
             constraint: Member must be v and a number"
        ))
    })
}

fn missing(arn: &str, number: u32) -> ApiError {
    absent(&format!("Policy {arn} version v{number} does not exist or is not attachable."))
}

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed_own(ctx, "iam:CreatePolicyVersion")?;
    let (document, is_default) =
        (document(ctx, arn)?, ctx.parameters.flag("SetAsDefault")?.unwrap_or(false));
    let version = PolicyVersion { document: document.to_owned(), created: seconds(ctx.now) };
    let number = ctx.api.store().change(|draft: &mut Draft| {
        let mut policy = current(draft, &policy)?;
        if policy.versions.len() >= MAX_VERSIONS {
            let message =
                "A managed policy can have up to 5 versions. Before you create a new version, you \
                 must delete an existing version.";
            return Err(ApiError::new("LimitExceeded", 409, message));
        }
        let number = policy.next_version;
        policy.next_version = number
            .checked_add(1)
            .ok_or_else(|| ApiError::new("LimitExceeded", 409, "The policy has had all the \
                versions that it can have."))?;
        policy.versions.insert(number, version.clone());
        if is_default {
            policy.default_version = number;
        }
        draft.put(policy)?;
        Ok::<_, ApiError>(number)
    })?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| write(xml, number, is_default, &version, false));
    Ok(xml.into())
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed(ctx, "iam:GetPolicyVersion")?;
    let number = number(ctx)?;
    let versions = policy.versions();
    let (_, version) =
        versions.iter().find(|(known, _)| *known == number).ok_or_else(|| missing(arn, number))?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| {
        write(xml, number, number == policy.default_version(), version, true)
    });
    Ok(xml.into())
}

fn list(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (_, policy) = allowed(ctx, "iam:ListPolicyVersions")?;
    // Versions are listed newest first, but pages follow the order of their keys.
    let versions = policy.versions().into_iter().rev();
    let page = PAGING
        .page(ctx, versions.map(|version| (format!("{:010}", u32::MAX - version.0), version)))?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    xml.list("Versions", "member", &page.items, |xml, (number, version)| {
        write(xml, *number, *number == policy.default_version(), version, false);
    });
    Ok(xml.into())
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed_own(ctx, "iam:DeletePolicyVersion")?;
    let number = number(ctx)?;
    ctx.api.store().change(|draft: &mut Draft| {
        let mut policy = current(draft, &policy)?;
        if policy.default_version == number {
            return Err(ApiError::new(
                "DeleteConflict",
                409,
                "Cannot delete the default version of a policy.",
            ));
        }
        policy.versions.remove(&number).ok_or_else(|| missing(arn, number))?;
        draft.put(policy)?;
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

fn set_default(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed_own(ctx, "iam:SetDefaultPolicyVersion")?;
    let number = number(ctx)?;
    ctx.api.store().change(|draft: &mut Draft| {
        let mut policy = current(draft, &policy)?;
        if !policy.versions.contains_key(&number) {
            return Err(missing(arn, number));
        }
        policy.default_version = number;
        draft.put(policy)?;
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

fn list_entities(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, _) = allowed(ctx, "iam:ListEntitiesForPolicy")?;
    let kind = match ctx.parameters.text("EntityFilter") {
        None => None,
        Some("User") => Some(Kind::User),
        Some("Group") => Some(Kind::Group),
        Some("Role") => Some(Kind::Role),
        Some(_) => {
            return Err(ApiError::invalid("EntityFilter must be User, Role or Group"));
        }
    };
    let ((as_policy, as_boundary), prefix) = (usage_filter(ctx)?, path_prefix(ctx.parameters)?);
    let has = |identity: &Identity| {
        let (attached, boundary) = identity.uses(arn);
        as_policy && attached || as_boundary && boundary
    };
    let fits = |identity: &Identity| {
        kind.is_none_or(|kind| identity.kind() == kind) && identity.path().starts_with(prefix)
    };
    let mut all = Identity::all(&ctx.state, ctx.account()?.as_str());
    all.retain(|identity| has(identity) && fits(identity));
    let page = PAGING.page(ctx, all.into_iter().map(|identity| (identity.place(), identity)))?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    for kind in [Kind::Group, Kind::User, Kind::Role] {
        let of_kind = page.items.iter().filter(|identity| identity.kind() == kind);
        xml.list(&format!("Policy{}s", kind.title()), "member", of_kind, |xml, identity| {
            xml.leaf(kind.parameter(), identity.name())
                .leaf(&format!("{}Id", kind.title()), identity.unique_id());
        });
    }
    Ok(xml.into())
}
