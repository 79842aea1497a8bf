//! Users, groups, roles, policies and instance profiles: names, paths, ARNs, and errors.

use std::sync::Arc;

use countersign_core::region::Partition;
use countersign_core::timestamp::rfc3339;

use super::tag_set;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::page::{Page, Paging};
use crate::parameters::Parameters;
use crate::xml::Xml;
use countersign_authority::effective_policies;
use countersign_authority::model::{
    Group, InstanceProfile, ManagedPolicy, Role, Tags, User, instant,
};
use countersign_authority::store::{Draft, Record, account_key};

/// Page sizes of IAM's lists.
pub(super) const PAGING: Paging = Paging { parameter: "MaxItems", default: 100, min: 1, max: 1000 };

/// A record with a name, a path and an ARN.
pub(super) trait Entity: Record + Clone {
    /// Resource type in ARNs.
    const TYPE: &'static str;
    /// Parameter that holds the name.
    const PARAMETER: &'static str;
    /// Maximum length of a name. Source: "IAM and AWS STS quotas" in the IAM user guide.
    const LONGEST: usize;

    fn account(&self) -> &str;
    fn path(&self) -> &str;
    fn name(&self) -> &str;
    fn unique_id(&self) -> &str;
    /// Returns the tags; `None` for kinds without tags.
    fn tags(&self) -> Option<&Tags>;
    fn tags_mut(&mut self) -> Option<&mut Tags>;

    /// AWS's messages for a missing and for an existing entity.
    fn absent(name: &str) -> ApiError;
    fn exists(name: &str) -> ApiError;

    fn arn(&self, partition: Partition) -> String {
        format!(
            "arn:{partition}:iam::{}:{}{}{}",
            self.account(),
            Self::TYPE,
            self.path(),
            self.name()
        )
    }
}

macro_rules! entities {
    ($($record:ty: $type:literal, $parameter:literal, $longest:literal, $absent:literal,
        $exists:literal, |$value:ident| $tags:expr, $tags_mut:expr;)*) => {
        $(
            impl Entity for $record {
                const TYPE: &'static str = $type;
                const PARAMETER: &'static str = $parameter;
                const LONGEST: usize = $longest;

                fn account(&self) -> &str {
                    self.account.as_str()
                }

                fn path(&self) -> &str {
                    &self.path
                }

                fn name(&self) -> &str {
                    &self.name
                }

                fn unique_id(&self) -> &str {
                    &self.unique_id
                }

                fn tags(&self) -> Option<&Tags> {
                    let $value = self;
                    $tags
                }

                fn tags_mut(&mut self) -> Option<&mut Tags> {
                    let $value = self;
                    $tags_mut
                }

                fn absent(name: &str) -> ApiError {
                    absent(&format!($absent, name = name))
                }

                fn exists(name: &str) -> ApiError {
                    ApiError::new("EntityAlreadyExists", 409, &format!($exists, name = name))
                }
            }
        )*
    };
}

entities! {
    User: "user", "UserName", 64, "The user with name {name} cannot be found.",
        "User with name {name} already exists.",
        |user| Some(&user.tags), Some(&mut user.tags);
    Group: "group", "GroupName", 128, "The group with name {name} cannot be found.",
        "Group with name {name} already exists.",
        |_group| None, None;
    Role: "role", "RoleName", 64, "The role with name {name} cannot be found.",
        "Role with name {name} already exists.",
        |role| Some(&role.tags), Some(&mut role.tags);
    InstanceProfile: "instance-profile", "InstanceProfileName", 128,
        "Instance Profile {name} cannot be found.", "Instance Profile {name} already exists.",
        |profile| Some(&profile.tags), Some(&mut profile.tags);
    ManagedPolicy: "policy", "PolicyArn", 128, "Policy {name} was not found.",
        "A policy called {name} already exists. Duplicate names are not allowed.",
        |policy| Some(&policy.tags), Some(&mut policy.tags);
}

/// Entity named in a request, before the caller is authorized to learn whether it exists.
pub(super) struct Named<E> {
    arn: String,
    record: Option<Arc<E>>,
    absent: ApiError,
}

impl<E: Entity> Named<E> {
    /// Reads the name from the kind's parameter.
    pub(super) fn from_request(ctx: &RequestContext<'_>) -> Result<Self, ApiError> {
        Self::of(ctx, existing_name::<E>(ctx.parameters.required(E::PARAMETER)?)?)
    }

    /// Looks up a name in the caller's account.
    pub(super) fn of(ctx: &RequestContext<'_>, name: &str) -> Result<Self, ApiError> {
        let record =
            ctx.state.get::<E>(&account_key(ctx.account()?.as_str(), name)).map(Arc::clone);
        let arn = match &record {
            Some(record) => record.arn(ctx.partition()?),
            None => arn(ctx, E::TYPE, "/", name)?,
        };
        Ok(Self { arn, record, absent: E::absent(name) })
    }

    /// Returns the entity if the caller may perform `action` on it.
    pub(super) fn authorized(
        self,
        ctx: &RequestContext<'_>,
        action: &str,
    ) -> Result<Arc<E>, ApiError> {
        self.authorized_with(ctx, action, |target| target)
    }

    /// Like [`Self::authorized`], with the condition keys that `add_keys` adds. Only an authorized
    /// caller learns that the entity does not exist.
    pub(super) fn authorized_with(
        self,
        ctx: &RequestContext<'_>,
        action: &str,
        facts: impl FnOnce(Target<'_>) -> Target<'_>,
    ) -> Result<Arc<E>, ApiError> {
        let tags = self.record.as_ref().and_then(|record| record.tags());
        ctx.authorize(action, &facts(tag_set::resource_facts(Target::of(&self.arn), tags)))?;
        self.record.ok_or(self.absent)
    }
}

impl Named<ManagedPolicy> {
    /// Reads the ARN in `PolicyArn`; only policies of the caller's account are found.
    pub(super) fn from_request_arn(ctx: &RequestContext<'_>) -> Result<Self, ApiError> {
        let (arn, account) = (ctx.parameters.required("PolicyArn")?, ctx.account()?);
        let record = effective_policies::managed_policy(&ctx.state, arn)
            .filter(|policy| policy.account == *account)
            .map(Arc::clone);
        Ok(Self { arn: arn.to_owned(), record, absent: ManagedPolicy::absent(arn) })
    }
}

/// Returns the current record of an authorized entity, unless it was removed or replaced meanwhile.
pub(super) fn current<E: Entity>(draft: &Draft, authorized: &E) -> Result<E, ApiError> {
    let stored = draft
        .get::<E>(&authorized.id())
        .filter(|stored| stored.unique_id() == authorized.unique_id());
    stored.map(|stored| E::clone(stored)).ok_or_else(|| E::absent(authorized.name()))
}

/// Returns the ARN of a resource in the caller's account.
pub(super) fn arn(
    ctx: &RequestContext<'_>,
    kind: &str,
    path: &str,
    name: &str,
) -> Result<String, ApiError> {
    Ok(format!("arn:{}:iam::{}:{kind}{path}{name}", ctx.partition()?, ctx.account()?))
}

/// Returns the requested page of an account's records of one kind, under the requested path.
pub(super) fn list<'a, E: Entity>(
    ctx: &'a RequestContext<'_>,
    action: &str,
) -> Result<Page<&'a Arc<E>>, ApiError> {
    let prefix = path_prefix(ctx.parameters)?;
    ctx.authorize(action, &Target::of(&arn(ctx, E::TYPE, prefix, "")?))?;
    let listed = ctx
        .state
        .of_account::<E>(ctx.account()?.as_str())
        .filter(|record| record.path().starts_with(prefix));
    PAGING.page(ctx, listed.map(|record| (record.id(), record)))
}

/// Returns the validated name of a new entity.
pub(super) fn new_name<'a, E: Entity>(parameter: &str, name: &'a str) -> Result<&'a str, ApiError> {
    check_name(parameter, name, E::LONGEST)
}

/// Returns a validated name.
pub(super) fn existing_name<E: Entity>(name: &str) -> Result<&str, ApiError> {
    check_name(E::PARAMETER, name, 128)
}

fn check_name<'a>(parameter: &str, name: &'a str, longest: usize) -> Result<&'a str, ApiError> {
    let parameter = camel(parameter);
    if name.chars().count() > longest {
        let constraint = format!("Member must have length less than or equal to {longest}");
        return Err(ApiError::invalid(&format!(
            "1 validation error detected: Value at '{parameter}' failed to satisfy constraint: \
             {constraint}"
        )));
    }
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    {
        return Err(ApiError::invalid(&format!(
            "The specified value for {parameter} is invalid. It must contain only alphanumeric \
             characters and/or the following: +=,.@_-"
        )));
    }
    Ok(name)
}

/// Returns a parameter's name as in AWS's messages.
fn camel(parameter: &str) -> String {
    parameter
        .chars()
        .take(1)
        .flat_map(char::to_lowercase)
        .chain(parameter.chars().skip(1))
        .collect()
}

/// Returns the validated path from `Path` or `NewPath`.
pub(super) fn path<'a>(
    parameters: &'a Parameters,
    parameter: &str,
) -> Result<Option<&'a str>, ApiError> {
    let Some(path) = parameters.text(parameter) else {
        return Ok(None);
    };
    let printable = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if path.len() <= 512
        && printable
        && path.starts_with('/')
        && path.ends_with('/')
        && path != "//"
    {
        return Ok(Some(path));
    }
    Err(ApiError::invalid(&format!(
        "The specified value for {} is invalid. It must begin and end with / and contain only \
         alphanumeric characters and/or / characters.",
        camel(parameter)
    )))
}

/// Returns `PathPrefix`, by default `/`.
pub(super) fn path_prefix(parameters: &Parameters) -> Result<&str, ApiError> {
    let prefix = parameters.text("PathPrefix").unwrap_or("/");
    if prefix.len() <= 512
        && prefix.starts_with('/')
        && prefix.bytes().all(|byte| (0x21..=0x7f).contains(&byte))
    {
        return Ok(prefix);
    }
    Err(ApiError::invalid(
        "The specified value for pathPrefix is invalid. It must begin with / and contain only \
         printable characters.",
    ))
}

pub(super) fn absent(message: &str) -> ApiError {
    ApiError::new("NoSuchEntity", 404, message)
}

/// Error for an entity that others depend on; `first` is `delete access keys`.
pub(super) fn conflict(first: &str) -> ApiError {
    ApiError::new("DeleteConflict", 409, &format!("Cannot delete entity, must {first} first."))
}

/// Error for an exhausted quota.
pub(super) fn limit(quota: &str, most: usize) -> ApiError {
    ApiError::new("LimitExceeded", 409, &format!("Cannot exceed quota for {quota}: {most}"))
}

/// Returns an error if the account has the maximum number of records.
pub(super) fn check_quota<E: Entity>(
    draft: &Draft,
    account: &str,
    quota: &str,
    most: usize,
) -> Result<(), ApiError> {
    match draft.of_account::<E>(account).nth(most.saturating_sub(1)) {
        Some(_) => Err(limit(quota, most)),
        None => Ok(()),
    }
}

/// Extent of the output: lists omit tags and boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Listed,
    Whole,
}

pub(super) fn write_user(xml: &mut Xml, user: &User, partition: Partition, detail: Detail) {
    xml.leaf("Path", &user.path).leaf("UserName", &user.name).leaf("UserId", &user.unique_id);
    xml.leaf("Arn", user.arn(partition)).leaf("CreateDate", date(user.created));
    if detail == Detail::Whole {
        write_boundary(xml, user.boundary.as_deref());
        tag_set::write_present(xml, &user.tags);
    }
}

pub(super) fn write_group(xml: &mut Xml, group: &Group, partition: Partition) {
    xml.leaf("Path", &group.path).leaf("GroupName", &group.name).leaf("GroupId", &group.unique_id);
    xml.leaf("Arn", group.arn(partition)).leaf("CreateDate", date(group.created));
}

pub(super) fn write_role(xml: &mut Xml, role: &Role, partition: Partition, detail: Detail) {
    xml.leaf("Path", &role.path).leaf("RoleName", &role.name).leaf("RoleId", &role.unique_id);
    xml.leaf("Arn", role.arn(partition)).leaf("CreateDate", date(role.created));
    xml.optional_leaf("AssumeRolePolicyDocument", role.trust.as_deref().map(encoded));
    xml.optional_leaf("Description", Some(&role.description).filter(|text| !text.is_empty()))
        .leaf("MaxSessionDuration", role.max_session);
    if detail == Detail::Whole {
        write_boundary(xml, role.boundary.as_deref());
        tag_set::write_present(xml, &role.tags);
        xml.element("RoleLastUsed", |_| ());
    }
}

pub(super) fn write_boundary(xml: &mut Xml, boundary: Option<&str>) {
    if let Some(arn) = boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.leaf("PermissionsBoundaryType", "Policy").leaf("PermissionsBoundaryArn", arn);
        });
    }
}

/// Encodes a document for responses: "URL-encoded JSON, compliant with RFC 3986".
pub(super) fn encoded(document: &str) -> String {
    let mut out = String::with_capacity(document.len() * 2);
    countersign_core::sigv4::encode::encode(&mut out, document);
    out
}

/// Returns the validated description, of at most 1,000 characters.
pub(super) fn description(ctx: &RequestContext<'_>) -> Result<String, ApiError> {
    let text = ctx.parameters.text("Description").unwrap_or_default();
    if text.chars().count() > 1000
        || text
            .chars()
            .any(|character| character.is_control() && !matches!(character, '\t' | '\n' | '\r'))
    {
        return Err(ApiError::invalid(
            "The description must have at most 1000 characters, none of them a control character.",
        ));
    }
    Ok(text.to_owned())
}

/// Returns the size of a document without white space, as IAM counts it.
/// Source: "IAM and AWS STS quotas".
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// Error for an entity that changed after the authorization.
pub(super) fn changed_meanwhile() -> ApiError {
    ApiError::new(
        "ConcurrentModification",
        409,
        "The request was rejected because multiple requests to change this object were submitted \
         simultaneously. Wait a few minutes and submit your request again.",
    )
}

/// Formats a time as `2024-01-15T12:00:00Z`.
pub(super) fn date(seconds: u64) -> String {
    // IAM sends no fractions, and some clients print the text unchanged.
    rfc3339(instant(seconds)).replace(".000Z", "Z")
}
