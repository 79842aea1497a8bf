//! Users, groups and roles as identities with policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entity::{Entity, arn, changed_meanwhile, existing_name};
use super::tag_set;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use countersign_authority::model::{Group, Role, Tags, User};
use countersign_authority::store::{Draft, State, account_key};

/// Kind of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    /// Returns the name in ARNs and messages.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// Returns the name in actions.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }

    /// Returns the name of the parameter and the element.
    pub(super) const fn parameter(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Group => "GroupName",
            Self::Role => "RoleName",
        }
    }

    /// Returns the name in a request.
    fn name_in<'a>(self, ctx: &RequestContext<'a>) -> Result<&'a str, ApiError> {
        let name = ctx.parameters.required(self.parameter())?;
        match self {
            Self::User => existing_name::<User>(name),
            Self::Group => existing_name::<Group>(name),
            Self::Role => existing_name::<Role>(name),
        }
    }

    /// Maximum total size of inline policies in characters. Source: "IAM and AWS STS quotas".
    pub(super) const fn inline_size(self) -> usize {
        match self {
            Self::User => 2048,
            Self::Group => 5120,
            Self::Role => 10240,
        }
    }
}

/// User, group or role.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    User(Arc<User>),
    Group(Arc<Group>),
    Role(Arc<Role>),
}

/// Mutable policies of an identity.
pub(super) struct Policies<'a> {
    pub(super) inline: &'a mut BTreeMap<String, String>,
    pub(super) attached: &'a mut BTreeSet<String>,
    /// `None` for groups, which have no boundary.
    pub(super) boundary: Option<&'a mut Option<String>>,
}

impl Identity {
    /// Returns the identity of a name.
    pub(super) fn find(state: &State, kind: Kind, account: &str, name: &str) -> Option<Self> {
        let id = account_key(account, name);
        match kind {
            Kind::User => state.users.get(&id).cloned().map(Self::User),
            Kind::Group => state.groups.get(&id).cloned().map(Self::Group),
            Kind::Role => state.roles.get(&id).cloned().map(Self::Role),
        }
    }

    /// Returns all identities of an account in the order of their sort keys.
    pub(super) fn all(state: &State, account: &str) -> Vec<Self> {
        let groups = state.of_account::<Group>(account).cloned().map(Self::Group);
        let roles = state.of_account::<Role>(account).cloned().map(Self::Role);
        groups
            .chain(roles)
            .chain(state.of_account::<User>(account).cloned().map(Self::User))
            .collect()
    }

    /// Returns the sort key in lists of all kinds: `role/NAME`.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.kind().noun(), self.name().to_ascii_lowercase())
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Group(_) => Kind::Group,
            Self::Role(_) => Kind::Role,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Group(group) => &group.name,
            Self::Role(role) => &role.name,
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::User(user) => &user.path,
            Self::Group(group) => &group.path,
            Self::Role(role) => &role.path,
        }
    }

    pub(super) fn unique_id(&self) -> &str {
        match self {
            Self::User(user) => &user.unique_id,
            Self::Group(group) => &group.unique_id,
            Self::Role(role) => &role.unique_id,
        }
    }

    pub(super) fn inline(&self) -> &BTreeMap<String, String> {
        match self {
            Self::User(user) => &user.inline,
            Self::Group(group) => &group.inline,
            Self::Role(role) => &role.inline,
        }
    }

    pub(super) fn attached(&self) -> &BTreeSet<String> {
        match self {
            Self::User(user) => &user.attached,
            Self::Group(group) => &group.attached,
            Self::Role(role) => &role.attached,
        }
    }

    pub(super) fn boundary(&self) -> Option<&String> {
        match self {
            Self::User(user) => user.boundary.as_ref(),
            Self::Group(_) => None,
            Self::Role(role) => role.boundary.as_ref(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        match self {
            Self::User(user) => Some(&user.tags),
            Self::Group(_) => None,
            Self::Role(role) => Some(&role.tags),
        }
    }

    /// Returns the uses of a managed policy: attached, and as the boundary.
    pub(super) fn uses(&self, arn: &str) -> (bool, bool) {
        (self.attached().contains(arn), self.boundary().is_some_and(|boundary| boundary == arn))
    }

    /// Returns true if everything that conditions can refer to is equal.
    fn is_same(&self, other: &Self) -> bool {
        self.unique_id() == other.unique_id()
            && self.path() == other.path()
            && self.boundary() == other.boundary()
            && self.tags() == other.tags()
    }
}

/// Identity named in a request; it may not exist.
pub(super) struct RequestedIdentity<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) arn: String,
    identity: Option<Identity>,
}

impl<'a> RequestedIdentity<'a> {
    /// Reads the name from the request.
    pub(super) fn read(ctx: &RequestContext<'a>, kind: Kind) -> Result<Self, ApiError> {
        Self::of(ctx, kind, kind.name_in(ctx)?)
    }

    /// Looks up a name.
    pub(super) fn of(
        ctx: &RequestContext<'_>,
        kind: Kind,
        name: &'a str,
    ) -> Result<Self, ApiError> {
        let identity = Identity::find(&ctx.state, kind, ctx.account()?.as_str(), name);
        let (path, spelled) =
            identity.as_ref().map_or(("/", name), |identity| (identity.path(), identity.name()));
        let arn = arn(ctx, kind.noun(), path, spelled)?;
        Ok(Self { kind, name, arn, identity })
    }

    /// Returns the target of the authorization, with tags.
    pub(super) fn target(&self) -> Target<'_> {
        tag_set::resource_facts(
            Target::of(&self.arn),
            self.identity.as_ref().and_then(Identity::tags),
        )
    }

    /// Returns the target of the authorization, with tags and boundary.
    pub(super) fn bounded_target(&self) -> Target<'_> {
        let boundary = self.identity.as_ref().and_then(Identity::boundary);
        boundary
            .into_iter()
            .fold(self.target(), |target, arn| target.with("iam:PermissionsBoundary", arn.as_str()))
    }

    /// Returns the identity; only authorized callers may learn whether it exists.
    pub(super) fn identity(&self) -> Result<&Identity, ApiError> {
        self.identity.as_ref().ok_or_else(|| self.missing())
    }

    fn missing(&self) -> ApiError {
        match self.kind {
            Kind::User => User::absent(self.name),
            Kind::Group => Group::absent(self.name),
            Kind::Role => Role::absent(self.name),
        }
    }

    /// Changes the policies of the identity, which must be unchanged since the authorization.
    pub(super) fn change(
        &self,
        ctx: &RequestContext<'_>,
        mut work: impl FnMut(&State, Policies<'_>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let (known, account) = (self.identity()?, ctx.account()?.as_str());
        ctx.api.store().change(|draft: &mut Draft| {
            let stored = Identity::find(draft, self.kind, account, self.name)
                .ok_or_else(|| self.missing())?;
            if !known.is_same(&stored) {
                return Err(changed_meanwhile());
            }
            match stored {
                Identity::User(user) => {
                    let mut user = User::clone(&user);
                    let User { inline, attached, boundary, .. } = &mut user;
                    work(draft, Policies { inline, attached, boundary: Some(boundary) })?;
                    draft.put(user)?;
                }
                Identity::Group(group) => {
                    let mut group = Group::clone(&group);
                    let Group { inline, attached, .. } = &mut group;
                    work(draft, Policies { inline, attached, boundary: None })?;
                    draft.put(group)?;
                }
                Identity::Role(role) => {
                    let mut role = Role::clone(&role);
                    let Role { inline, attached, boundary, .. } = &mut role;
                    work(draft, Policies { inline, attached, boundary: Some(boundary) })?;
                    draft.put(role)?;
                }
            }
            Ok(())
        })
    }
}
