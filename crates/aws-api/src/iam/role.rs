//! Roles.

use std::sync::Arc;

use countersign_core::policy::PolicyKind;

use super::entity::{
    Detail, Entity, Named, arn, changed_meanwhile, conflict, description, limit, list, new_name,
    path, size, write_role,
};
use super::tag_set;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{InstanceProfile, Role, seconds};
use countersign_authority::random;
use countersign_authority::store::{
    DEFAULT_SESSION_SECONDS, Draft, State, account_key, check_policy,
};

/// Maximum size of a trust policy in characters. Source: "IAM and AWS STS quotas".
pub(super) const MAX_TRUST: usize = 2048;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes(
        "CreateRole",
        &[
            "Path",
            "RoleName",
            "AssumeRolePolicyDocument",
            "Description",
            "MaxSessionDuration",
            "PermissionsBoundary",
            "Tags",
        ],
        create,
    ),
    Action::reads("GetRole", &["RoleName"], get),
    Action::reads("ListRoles", &["PathPrefix", "Marker", "MaxItems"], list_roles),
    Action::writes("UpdateRole", &["RoleName", "Description", "MaxSessionDuration"], update),
    Action::writes("UpdateRoleDescription", &["RoleName", "Description"], update_description),
    Action::writes("UpdateAssumeRolePolicy", &["RoleName", "PolicyDocument"], update_trust),
    Action::writes("DeleteRole", &["RoleName"], delete),
];

fn whole(ctx: &RequestContext<'_>, role: &Role) -> Result<ActionOutput, ApiError> {
    let (mut xml, partition) = (Xml::new(), ctx.partition()?);
    xml.element("Role", |xml| write_role(xml, role, partition, Detail::Whole));
    Ok(xml.into())
}

/// Validates a trust policy: every statement has a principal, and none has a resource, since that
/// is the role.
fn trust<'a>(ctx: &RequestContext<'a>, parameter: &str) -> Result<&'a str, ApiError> {
    let document = ctx.parameters.required(parameter)?;
    if size(document) > MAX_TRUST {
        return Err(limit("ACLSizePerRole", MAX_TRUST));
    }
    check_policy("trust policy", document, PolicyKind::Resource)?;
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let statements = match parsed.get("Statement") {
        Some(serde_json::Value::Array(statements)) => statements.iter().collect(),
        one => Vec::from_iter(one),
    };
    let has = |name: &str| statements.iter().any(|statement| statement.get(name).is_some());
    if has("Resource") || has("NotResource") {
        return Err(ApiError::new("MalformedPolicyDocument", 400, "Has prohibited field Resource"));
    }
    if !statements.iter().all(|statement| {
        statement.get("Principal").or_else(|| statement.get("NotPrincipal")).is_some()
    }) {
        return Err(ApiError::new(
            "MalformedPolicyDocument",
            400,
            "Missing required field Principal",
        ));
    }
    let actions =
        statements.iter().filter_map(|statement| statement.get("Action")).flat_map(|actions| {
            match actions {
                serde_json::Value::Array(actions) => actions.iter().collect(),
                one => vec![one],
            }
        });
    let of_sts =
        |action: &str| action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("sts:"));
    if !actions.filter_map(serde_json::Value::as_str).all(of_sts) {
        return Err(ApiError::new(
            "MalformedPolicyDocument",
            400,
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ));
    }
    Ok(document)
}

/// Returns the maximum session duration in the request.
fn max_session(ctx: &RequestContext<'_>) -> Result<Option<u32>, ApiError> {
    let Some(requested) = ctx.parameters.number("MaxSessionDuration")? else {
        return Ok(None);
    };
    let fitting = u32::try_from(requested).ok().filter(|seconds| (3600..=43200).contains(seconds));
    fitting.map(Some).ok_or_else(|| {
        let message = format!(
            "1 validation error detected: Value '{requested}' at 'maxSessionDuration' failed to \
             satisfy constraint: Member must have value \
             from 3600 to 43200"
        );
        ApiError::invalid(&message)
    })
}

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = new_name::<Role>("RoleName", ctx.parameters.required("RoleName")?)?;
    let path = path(ctx.parameters, "Path")?.unwrap_or("/");
    let (arn, tags, boundary) = (
        arn(ctx, "role", path, name)?,
        tag_set::read(ctx)?,
        ctx.parameters.text("PermissionsBoundary"),
    );
    let target = Target::of(&arn);
    let target = boundary
        .into_iter()
        .fold(target, |target, arn| target.with("iam:PermissionsBoundary", arn));
    tag_set::authorize_creation(ctx, ["iam:CreateRole", "iam:TagRole"], target, &tags)?;
    let (trust, description, max_session) =
        (trust(ctx, "AssumeRolePolicyDocument")?, description(ctx)?, max_session(ctx)?);
    let account = ctx.account()?;
    let role = ctx.api.store().change(|draft: &mut Draft| {
        if draft.roles.contains_key(&account_key(account.as_str(), name)) {
            return Err(Role::exists(name));
        }
        boundary.map_or(Ok(()), |arn| super::boundary::check(draft, account.as_str(), arn))?;
        let role = Role {
            account: account.clone(),
            path: path.to_owned(),
            name: name.to_owned(),
            unique_id: random::id("AROA", 17)?,
            description: description.clone(),
            created: seconds(ctx.now),
            trust: Some(trust.to_owned()),
            max_session: max_session.unwrap_or(DEFAULT_SESSION_SECONDS),
            inline: Default::default(),
            attached: Default::default(),
            boundary: boundary.map(str::to_owned),
            tags: tags.clone(),
        };
        Ok(draft.put(role)?)
    })?;
    whole(ctx, &role)
}

/// Returns the role of a request, if the caller may perform `action` on it.
fn allowed(ctx: &RequestContext<'_>, action: &str) -> Result<Arc<Role>, ApiError> {
    Named::<Role>::from_request(ctx)?.authorized(ctx, action)
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role = allowed(ctx, "iam:GetRole")?;
    whole(ctx, &role)
}

fn list_roles(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (page, partition) = (list::<Role>(ctx, "iam:ListRoles")?, ctx.partition()?);
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    xml.list("Roles", "member", &page.items, |xml, role| {
        write_role(xml, role, partition, Detail::Listed)
    });
    Ok(xml.into())
}

/// Changes the role, which must be unchanged since the authorization.
fn change(
    ctx: &RequestContext<'_>,
    known: &Role,
    mut work: impl FnMut(&State, &mut Role) -> Result<(), ApiError>,
) -> Result<Arc<Role>, ApiError> {
    ctx.api.store().change(|draft: &mut Draft| {
        let mut role = current(draft, known)?;
        work(draft, &mut role)?;
        Ok(draft.put(role)?)
    })
}

fn current(draft: &Draft, known: &Role) -> Result<Role, ApiError> {
    let stored = draft.roles.get(&account_key(known.account.as_str(), &known.name));
    let stored = stored.filter(|role| role.unique_id == known.unique_id && role.tags == known.tags);
    stored.map(|role| Role::clone(role)).ok_or_else(changed_meanwhile)
}

fn update(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role = allowed(ctx, "iam:UpdateRole")?;
    let (description, max_session) = (description(ctx)?, max_session(ctx)?);
    change(ctx, &role, |_, role| {
        if ctx.parameters.has("Description") {
            role.description.clone_from(&description);
        }
        role.max_session = max_session.unwrap_or(role.max_session);
        Ok(())
    })?;
    Ok(Xml::new().into())
}

fn update_description(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role = allowed(ctx, "iam:UpdateRoleDescription")?;
    ctx.parameters.text_or_empty("Description").ok_or_else(|| ApiError::missing("Description"))?;
    let description = description(ctx)?;
    let role = change(ctx, &role, |_, role| {
        role.description.clone_from(&description);
        Ok(())
    })?;
    whole(ctx, &role)
}

fn update_trust(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role = allowed(ctx, "iam:UpdateAssumeRolePolicy")?;
    let document = trust(ctx, "PolicyDocument")?;
    change(ctx, &role, |_, role| {
        role.trust = Some(document.to_owned());
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}

/// `DeleteRole`: as in AWS, everything that depends on the role must be removed first.
fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let role = allowed(ctx, "iam:DeleteRole")?;
    ctx.api.store().change(|draft: &mut Draft| {
        let role = current(draft, &role)?;
        let account = role.account.as_str();
        let held = |profile: &Arc<InstanceProfile>| {
            profile.role.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&role.name))
        };
        if !role.inline.is_empty() {
            return Err(conflict("delete policies"));
        }
        if !role.attached.is_empty() {
            return Err(conflict("detach all policies"));
        }
        if draft.of_account::<InstanceProfile>(account).any(held) {
            return Err(conflict("remove roles from instance profile"));
        }
        draft.remove::<Role>(&account_key(account, &role.name));
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}
