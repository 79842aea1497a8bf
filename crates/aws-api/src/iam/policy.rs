//! Managed policies of the account and of AWS.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::policy::PolicyKind;

use super::entity::{
    Entity, PAGING, arn, changed_meanwhile, date, description, limit, new_name, path, path_prefix,
    size,
};
use super::identity::Identity;
use super::tag_set;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::aws_managed;
use countersign_authority::effective_policies;
use countersign_authority::model::{ManagedPolicy, PolicyVersion, Tags, seconds};
use countersign_authority::random;
use countersign_authority::store::{Draft, State, account_key, check_policy};

/// Maximum size of a document in characters. Source: "IAM and AWS STS quotas".
pub(super) const MAX_DOCUMENT: usize = 6144;

/// Creation time of AWS's policies: that of AdministratorAccess, 2015-02-06T18:39:46Z, for all of
/// them.
const AWS_CREATED: u64 = 1_423_247_986;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes(
        "CreatePolicy",
        &["PolicyName", "Path", "PolicyDocument", "Description", "Tags"],
        create,
    ),
    Action::reads("GetPolicy", &["PolicyArn"], get),
    Action::reads(
        "ListPolicies",
        &["Scope", "OnlyAttached", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems"],
        list,
    ),
    Action::writes("DeletePolicy", &["PolicyArn"], delete),
];

/// Returns the path and name of a managed policy's ARN.
pub(super) fn path_and_name(arn: &str) -> Option<(&str, &str)> {
    let whole = arn.split_once(":policy/").map(|(before, _)| before.len() + ":policy".len())?;
    let whole = arn.get(whole..)?;
    let slash = whole.rfind('/')?;
    Some((whole.get(..=slash)?, whole.get(slash + 1..)?))
}

/// Managed policy that identities of an account can use.
#[derive(Debug, Clone)]
pub(super) enum Managed {
    Own(Arc<ManagedPolicy>),
    /// AWS's, immutable: path with name, and document.
    Aws(&'static str, &'static str),
}

/// Numbers of identities to which a policy is attached, and of which it is the boundary.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) attached: usize,
    pub(super) boundaries: usize,
}

impl Usage {
    pub(super) fn count(identities: &[Identity], arn: &str) -> Self {
        identities.iter().map(|identity| identity.uses(arn)).fold(
            Self::default(),
            |usage, (attached, boundary)| Self {
                attached: usage.attached + usize::from(attached),
                boundaries: usage.boundaries + usize::from(boundary),
            },
        )
    }
}

impl Managed {
    /// Returns the policy of an ARN; `None` for other accounts and partitions.
    pub(super) fn find(state: &State, account: &str, arn: &str) -> Option<Self> {
        let partition = state.accounts.get(account)?.partition.to_string();
        if let Some(whole) = arn.strip_prefix(&format!("arn:{partition}:iam::aws:policy/")) {
            return aws_managed::all()
                .find(|(name, _)| *name == whole)
                .map(|(name, document)| Self::Aws(name, document));
        }
        effective_policies::managed_policy(state, arn)
            .filter(|policy| policy.account.as_str() == account)
            .cloned()
            .map(Self::Own)
    }

    pub(super) fn versions(&self) -> Vec<(u32, PolicyVersion)> {
        match self {
            Self::Own(policy) => {
                policy.versions.iter().map(|(number, version)| (*number, version.clone())).collect()
            }
            Self::Aws(_, document) => {
                vec![(1, PolicyVersion { document: (*document).to_owned(), created: AWS_CREATED })]
            }
        }
    }

    pub(super) fn default_version(&self) -> u32 {
        match self {
            Self::Own(policy) => policy.default_version,
            Self::Aws(..) => 1,
        }
    }

    fn tags(&self) -> Option<&Tags> {
        match self {
            Self::Own(policy) => Some(&policy.tags),
            Self::Aws(..) => None,
        }
    }

    fn unique_id(&self) -> String {
        match self {
            Self::Own(policy) => policy.unique_id.clone(),
            // Any stable value will do.
            Self::Aws(name, _) => {
                let digest = digest(&SHA256, name.as_bytes());
                let letters =
                    digest.as_ref().iter().take(17).map(|byte| char::from(b'A' + byte % 26));
                format!("ANPA{}", letters.collect::<String>())
            }
        }
    }

    /// Writes the elements that all responses share.
    pub(super) fn write(&self, xml: &mut Xml, arn: &str, usage: Usage) {
        let (path, name) = path_and_name(arn).unwrap_or(("/", arn));
        xml.leaf("PolicyName", name)
            .leaf("PolicyId", self.unique_id())
            .leaf("Arn", arn)
            .leaf("Path", path);
        xml.leaf("DefaultVersionId", format!("v{}", self.default_version()))
            .leaf("AttachmentCount", usage.attached);
        xml.leaf("PermissionsBoundaryUsageCount", usage.boundaries).leaf("IsAttachable", true);
        let created = match self {
            Self::Own(policy) => policy.created,
            Self::Aws(..) => AWS_CREATED,
        };
        let updated = self.versions().last().map_or(created, |(_, version)| version.created);
        xml.leaf("CreateDate", date(created)).leaf("UpdateDate", date(updated));
    }

    /// Writes the elements of responses about one policy.
    fn whole(&self, arn: &str, usage: Usage) -> ActionOutput {
        let mut xml = Xml::new();
        xml.element("Policy", |xml| {
            self.write(xml, arn, usage);
            if let Self::Own(policy) = self {
                xml.optional_leaf(
                    "Description",
                    Some(&policy.description).filter(|text| !text.is_empty()),
                );
                tag_set::write_present(xml, &policy.tags);
            }
        });
        xml.into()
    }
}

/// Returns the policy of a request, if the caller may perform `action` on it.
pub(super) fn allowed<'a>(
    ctx: &RequestContext<'a>,
    action: &str,
) -> Result<(&'a str, Managed), ApiError> {
    let arn = ctx.parameters.required("PolicyArn")?;
    if !(20..=2048).contains(&arn.len()) || !arn.starts_with("arn:") || path_and_name(arn).is_none()
    {
        return Err(ApiError::invalid(&format!("ARN {arn} is not valid.")));
    }
    let policy = Managed::find(&ctx.state, ctx.account()?.as_str(), arn);
    ctx.authorize(
        action,
        &tag_set::resource_facts(Target::of(arn), policy.as_ref().and_then(Managed::tags)),
    )?;
    Ok((arn, policy.ok_or_else(|| ManagedPolicy::absent(arn))?))
}

/// Returns the policy of a request that changes it; AWS's cannot be changed.
pub(super) fn allowed_own<'a>(
    ctx: &RequestContext<'a>,
    action: &str,
) -> Result<(&'a str, Arc<ManagedPolicy>), ApiError> {
    match allowed(ctx, action)? {
        (arn, Managed::Own(policy)) => Ok((arn, policy)),
        (arn, Managed::Aws(..)) => {
            let message = format!(
                "User: {} is not authorized to perform: {action} on resource: policy {arn}: it is \
                 AWS's",
                ctx.identity()?.owner.arn
            );
            Err(ApiError::new("AccessDenied", 403, &message))
        }
    }
}

/// Returns the policy in a draft, which must be unchanged since the authorization.
pub(super) fn current(draft: &Draft, known: &ManagedPolicy) -> Result<ManagedPolicy, ApiError> {
    let stored = draft.policies.get(&account_key(known.account.as_str(), &known.name));
    let stored =
        stored.filter(|policy| policy.unique_id == known.unique_id && policy.tags == known.tags);
    stored.map(|policy| ManagedPolicy::clone(policy)).ok_or_else(changed_meanwhile)
}

/// Returns the validated document of a request.
pub(super) fn document<'a>(ctx: &RequestContext<'a>, name: &str) -> Result<&'a str, ApiError> {
    let document = ctx.parameters.required("PolicyDocument")?;
    if size(document) > MAX_DOCUMENT {
        return Err(limit("PolicySize", MAX_DOCUMENT));
    }
    check_policy(name, document, PolicyKind::Identity)?;
    Ok(document)
}

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = new_name::<ManagedPolicy>("PolicyName", ctx.parameters.required("PolicyName")?)?;
    let (path, tags) = (path(ctx.parameters, "Path")?.unwrap_or("/"), tag_set::read(ctx)?);
    let arn = arn(ctx, "policy", path, name)?;
    tag_set::authorize_creation(
        ctx,
        ["iam:CreatePolicy", "iam:TagPolicy"],
        Target::of(&arn),
        &tags,
    )?;
    let (document, description) = (document(ctx, name)?, description(ctx)?);
    let (account, partition, created) = (ctx.account()?, ctx.partition()?, seconds(ctx.now));
    let policy = ctx.api.store().change(|draft: &mut Draft| {
        if draft.policies.contains_key(&account_key(account.as_str(), name)) {
            return Err(ManagedPolicy::exists(name));
        }
        let first = PolicyVersion { document: document.to_owned(), created };
        let policy = ManagedPolicy {
            account: account.clone(),
            partition,
            path: path.to_owned(),
            name: name.to_owned(),
            unique_id: random::id("ANPA", 17)?,
            description: description.clone(),
            created,
            versions: [(1, first)].into(),
            default_version: 1,
            next_version: 2,
            tags: tags.clone(),
        };
        Ok(draft.put(policy)?)
    })?;
    // The description is part of GetPolicy only. Source: Policy in the IAM API reference.
    let mut xml = Xml::new();
    xml.element("Policy", |xml| {
        Managed::Own(policy).write(xml, &arn, Usage::default());
        tag_set::write(xml, &tags);
    });
    Ok(xml.into())
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed(ctx, "iam:GetPolicy")?;
    let identities = Identity::all(&ctx.state, ctx.account()?.as_str());
    Ok(policy.whole(arn, Usage::count(&identities, arn)))
}

/// Policies in the output of `ListPolicies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Aws,
    Local,
}

/// Returns the policies of a scope with their ARNs.
pub(super) fn all(
    ctx: &RequestContext<'_>,
    scope: Scope,
) -> Result<Vec<(String, Managed)>, ApiError> {
    let (account, partition) = (ctx.account()?, ctx.partition()?);
    let mut policies = Vec::new();
    if scope != Scope::Aws {
        for policy in ctx.state.of_account::<ManagedPolicy>(account.as_str()) {
            policies.push((policy.arn()?.to_string(), Managed::Own(Arc::clone(policy))));
        }
    }
    if scope != Scope::Local {
        let aws = aws_managed::all();
        policies.extend(aws.map(|(name, document)| {
            (format!("arn:{partition}:iam::aws:policy/{name}"), Managed::Aws(name, document))
        }));
    }
    policies.sort_by_cached_key(|(arn, _)| key(arn));
    Ok(policies)
}

/// Returns the sort key of a policy: by name, then AWS's apart from the account's.
fn key(arn: &str) -> String {
    format!("{} {arn}", path_and_name(arn).map_or(arn, |(_, name)| name).to_ascii_lowercase())
}

/// Reads `PolicyUsageFilter`: attached policies or boundaries.
pub(super) fn usage_filter(ctx: &RequestContext<'_>) -> Result<(bool, bool), ApiError> {
    match ctx.parameters.text("PolicyUsageFilter") {
        None => Ok((true, true)),
        Some("PermissionsPolicy") => Ok((true, false)),
        Some("PermissionsBoundary") => Ok((false, true)),
        Some(_) => Err(ApiError::invalid(
            "PolicyUsageFilter must be PermissionsPolicy or PermissionsBoundary",
        )),
    }
}

fn list(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = match ctx.parameters.text("Scope") {
        None | Some("All") => Scope::All,
        Some("AWS") => Scope::Aws,
        Some("Local") => Scope::Local,
        Some(_) => return Err(ApiError::invalid("Scope must be All, AWS or Local")),
    };
    let (prefix, only) =
        (path_prefix(ctx.parameters)?, ctx.parameters.flag("OnlyAttached")?.unwrap_or(false));
    let usage_given = ctx.parameters.has("PolicyUsageFilter");
    let (as_policy, as_boundary) = usage_filter(ctx)?;
    ctx.authorize("iam:ListPolicies", &Target::of("*"))?;
    let identities = Identity::all(&ctx.state, ctx.account()?.as_str());
    let wanted = |arn: &str, usage: Usage| {
        let used = as_policy && usage.attached > 0 || as_boundary && usage.boundaries > 0;
        path_and_name(arn).is_some_and(|(path, _)| path.starts_with(prefix))
            && (used || !only && !usage_given)
    };
    let counted = all(ctx, scope)?
        .into_iter()
        .map(|(arn, policy)| (Usage::count(&identities, &arn), arn, policy));
    let items =
        counted.filter(|(usage, arn, _)| wanted(arn, *usage)).map(|item| (key(&item.1), item));
    let page = PAGING.page(ctx, items)?;
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    xml.list("Policies", "member", &page.items, |xml, (usage, arn, policy)| {
        policy.write(xml, arn, *usage)
    });
    Ok(xml.into())
}

fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (arn, policy) = allowed_own(ctx, "iam:DeletePolicy")?;
    ctx.api.store().change(|draft: &mut Draft| {
        let (policy, account) = (current(draft, &policy)?, policy.account.as_str());
        let usage = Usage::count(&Identity::all(draft, account), arn);
        if usage.attached + usage.boundaries > 0 {
            return Err(ApiError::new(
                "DeleteConflict",
                409,
                "Cannot delete a policy attached to \
                entities.",
            ));
        }
        if policy.versions.len() > 1 {
            let message = "This policy has more than one version. Before you delete a policy, you \
                must delete the policy's versions. \
                           The default version is deleted with the policy.";
            return Err(ApiError::new("DeleteConflict", 409, message));
        }
        draft.remove::<ManagedPolicy>(&account_key(account, &policy.name));
        Ok(())
    })?;
    Ok(ActionOutput::Empty)
}
