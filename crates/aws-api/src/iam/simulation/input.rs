//! Input of a simulation: policies, their source, the caller, and the context.

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::policy::{Caller, Context, ContextValue, Policy, PolicyKind};

use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::iam::entity::absent;
use crate::iam::identity::{Identity, Kind, RequestedIdentity};
use countersign_authority::effective_policies::{EffectivePolicies, managed_policy_document};
use countersign_authority::model::PrincipalRecord;

/// Maximum size of a document. Source: IAM API reference, `PolicyInputList`.
const MAX_DOCUMENT: usize = 131_072;

pub(super) fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidInput", 400, message)
}

/// Returns the documents of a list parameter.
pub(crate) fn inputs<'a>(
    ctx: &RequestContext<'a>,
    parameter: &str,
) -> Result<Vec<&'a str>, ApiError> {
    let list = ctx.parameters.list(parameter);
    for (document, number) in list.iter().zip(1..) {
        parse(document, PolicyKind::Identity, &format!("{parameter}.{number}"))?;
    }
    Ok(list)
}

pub(super) fn parse(document: &str, kind: PolicyKind, name: &str) -> Result<Policy, ApiError> {
    if document.len() > MAX_DOCUMENT {
        return Err(invalid(&format!("{name} is longer than {MAX_DOCUMENT} bytes")));
    }
    let policy = Policy::parse(document, kind)
        .map_err(|mistakes| invalid(&format!("{name}: {mistakes}")))?;
    Ok(policy.named(name))
}

/// Identity whose policies a simulation uses.
pub(crate) struct Source {
    pub(super) arn: Arn,
    pub(super) identity: Identity,
}

/// Returns the identity of `PolicySourceArn`, if the caller may perform `action` on it.
pub(crate) fn source(ctx: &RequestContext<'_>, action: &str) -> Result<Source, ApiError> {
    let text = ctx.parameters.required("PolicySourceArn")?;
    let not_valid = || invalid(&format!("Invalid ARN: {text} is none of a user, group or role"));
    let arn: Arn = text.parse().map_err(|_| not_valid())?;
    let (kind, rest) = arn.resource().split_once('/').ok_or_else(not_valid)?;
    let kind = [Kind::User, Kind::Group, Kind::Role]
        .into_iter()
        .find(|known| known.noun() == kind)
        .ok_or_else(not_valid)?;
    let name = rest.rsplit('/').next().unwrap_or(rest);
    let requested = RequestedIdentity::of(ctx, kind, name)?;
    if requested.arn == text {
        ctx.authorize(action, &requested.target())?;
        return Ok(Source { identity: requested.identity()?.clone(), arn });
    }
    // The authorization uses the ARN alone: tags would reveal the identity.
    ctx.authorize(action, &Target::of(text))?;
    Err(absent(&format!("The {} with ARN {text} cannot be found.", kind.noun())))
}

impl Source {
    /// Returns its policies, and those of its groups, boundary and organization.
    pub(crate) fn documents(
        &self,
        ctx: &RequestContext<'_>,
        resource_account: &AccountId,
    ) -> EffectivePolicies {
        let who = match &self.identity {
            Identity::User(user) => PrincipalRecord::User(user.clone()),
            Identity::Role(role) => PrincipalRecord::Role(role.clone()),
            Identity::Group(group) => {
                let inline = group.inline.iter().map(|(name, text)| (name.clone(), text.clone()));
                let identity = inline
                    .chain(
                        group.attached.iter().map(|arn| managed_policy_document(&ctx.state, arn)),
                    )
                    .collect();
                return EffectivePolicies { identity, ..EffectivePolicies::default() };
            }
        };
        EffectivePolicies::for_principal(&ctx.state, &who, resource_account)
    }
}

/// "You can specify only the ARN of an IAM user."
pub(super) fn user(arn: &str) -> Result<Arn, ApiError> {
    let parsed: Option<Arn> = arn.parse().ok();
    let user = parsed.filter(|arn| {
        arn.service() == "iam" && arn.resource().starts_with("user/") && Caller::new(arn).is_ok()
    });
    user.ok_or_else(|| invalid(&format!("Invalid CallerArn: {arn} is not the ARN of a user")))
}

/// Parses an account: `arn:PARTITION:iam::ACCOUNT:root` or its digits.
pub(super) fn owner(text: &str) -> Result<AccountId, ApiError> {
    let account = text.split(':').nth(4).unwrap_or(text);
    account.parse().map_err(|_| {
        invalid(&format!("Invalid ResourceOwner: {text} is not the ARN of an account"))
    })
}

/// Returns the context of the simulated requests and its keys: those of the request, and the tags
/// of the source.
pub(super) fn context(
    ctx: &RequestContext<'_>,
    source: Option<&Source>,
) -> Result<(Context, Vec<String>), ApiError> {
    let tags = match source.map(|source| &source.identity) {
        Some(Identity::User(user)) => Some(&user.tags),
        Some(Identity::Role(role)) => Some(&role.tags),
        Some(Identity::Group(_)) | None => None,
    };
    let (mut context, mut given) = (Context::new(), Vec::new());
    let mut insert = |key: &str, value: ContextValue| {
        given.push(key.to_ascii_lowercase());
        context.insert(key, value);
    };
    for (key, value) in tags.into_iter().flatten() {
        insert(&format!("aws:PrincipalTag/{key}"), value.as_str().into());
    }
    for entry in ctx.parameters.structures("ContextEntries") {
        let key = entry.required("ContextKeyName")?;
        let values: Vec<String> =
            entry.list("ContextKeyValues").into_iter().map(str::to_owned).collect();
        insert(key, typed(key, entry.text("ContextKeyType"), values)?);
    }
    Ok((context, given))
}

/// Parses values of a type: any number for a list, one for other types.
fn typed(key: &str, kind: Option<&str>, values: Vec<String>) -> Result<ContextValue, ApiError> {
    const TYPES: [&str; 6] = ["string", "numeric", "boolean", "ip", "binary", "date"];
    let many = match kind {
        None => values.len() != 1,
        Some(kind) => {
            let (one, many) = kind.strip_suffix("List").map_or((kind, false), |one| (one, true));
            if !TYPES.contains(&one) {
                return Err(ApiError::invalid(&format!(
                    "ContextKeyType {kind} of {key} is not one of {}, each with or without List",
                    TYPES.join(", ")
                )));
            }
            many
        }
    };
    let mut values = values;
    match (many, values.len()) {
        (true, _) => Ok(ContextValue::Many(values)),
        (false, 1) => Ok(ContextValue::One(values.remove(0))),
        (false, count) => Err(invalid(&format!(
            "The context key {key} takes one value, and has {count}: for several its type is a \
             list."
        ))),
    }
}
