//! `GetAccountAuthorizationDetails`: all identities and policies of an account.

use std::sync::Arc;

use countersign_core::region::Partition;

use super::attachment;
use super::entity::{
    Detail, Entity, PAGING, date, encoded, write_boundary, write_group, write_user,
};
use super::identity::{Identity, Kind};
use super::policy::{Managed, Scope, Usage, all};
use super::profile;
use super::tag_set;
use super::version;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{Group, InstanceProfile, Role, User};
use countersign_authority::store::State;

pub(super) const ACTIONS: &[Action] =
    &[Action::reads("GetAccountAuthorizationDetails", &["Filter", "MaxItems", "Marker"], get)];

/// Item of the list; a policy with its ARN.
enum Item {
    Identity(Identity),
    Policy(String, Managed),
}

/// Kinds of items that the caller requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    users: bool,
    groups: bool,
    roles: bool,
    local: bool,
    aws: bool,
}

impl Wanted {
    fn read(ctx: &RequestContext<'_>) -> Result<Self, ApiError> {
        let filter = ctx.parameters.list("Filter");
        let known = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
        if filter.iter().any(|kind| !known.contains(kind)) {
            return Err(ApiError::invalid(&format!("Filter must be of {}", known.join(", "))));
        }
        let wants = |kind: &str| filter.is_empty() || filter.contains(&kind);
        Ok(Self {
            users: wants("User"),
            groups: wants("Group"),
            roles: wants("Role"),
            local: wants("LocalManagedPolicy"),
            aws: wants("AWSManagedPolicy"),
        })
    }

    fn identity(self, kind: Kind) -> bool {
        match kind {
            Kind::User => self.users,
            Kind::Group => self.groups,
            Kind::Role => self.roles,
        }
    }

    fn scope(self) -> Option<Scope> {
        match (self.local, self.aws) {
            (true, true) => Some(Scope::All),
            (true, false) => Some(Scope::Local),
            (false, true) => Some(Scope::Aws),
            (false, false) => None,
        }
    }
}

/// Returns the items in the order of their sort keys: identities, then policies.
fn items(
    ctx: &RequestContext<'_>,
    wanted: Wanted,
    identities: &[Identity],
) -> Result<Vec<(String, Item)>, ApiError> {
    let wanted_identities = identities.iter().filter(|identity| wanted.identity(identity.kind()));
    let mut items: Vec<_> = wanted_identities
        .map(|identity| (format!("a {}", identity.place()), Item::Identity(identity.clone())))
        .collect();
    if let Some(scope) = wanted.scope() {
        let policies = all(ctx, scope)?.into_iter();
        // AWS's policies are listed only if an identity uses them.
        let used = |arn: &str| {
            let usage = Usage::count(identities, arn);
            usage.attached + usage.boundaries > 0
        };
        let policies =
            policies.filter(|(arn, policy)| matches!(policy, Managed::Own(_)) || used(arn));
        items.extend(policies.map(|(arn, policy)| (format!("b {arn}"), Item::Policy(arn, policy))));
    }
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(items)
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let wanted = Wanted::read(ctx)?;
    ctx.authorize("iam:GetAccountAuthorizationDetails", &Target::of("*"))?;
    let identities = Identity::all(&ctx.state, ctx.account()?.as_str());
    let page = PAGING.page(ctx, items(ctx, wanted, &identities)?)?;
    let partition = ctx.partition()?;
    let mut lists: [Xml; 4] = Default::default();
    let [users, groups, roles, policies] = &mut lists;
    for item in &page.items {
        match item {
            Item::Identity(Identity::User(user)) => {
                users.element("member", |xml| write_user_details(xml, user, partition))
            }
            Item::Identity(Identity::Group(group)) => {
                groups.element("member", |xml| write_group_details(xml, group, partition))
            }
            Item::Identity(Identity::Role(role)) => {
                roles.element("member", |xml| write_role_details(xml, &ctx.state, role, partition))
            }
            Item::Policy(arn, policy) => policies.element("member", |xml| {
                policy.write(xml, arn, Usage::count(&identities, arn));
                if let Managed::Own(own) = policy {
                    xml.optional_leaf(
                        "Description",
                        Some(&own.description).filter(|text| !text.is_empty()),
                    );
                }
                version::write_all(xml, policy);
            }),
        };
    }
    let mut xml = Xml::new();
    page.write_truncation(&mut xml);
    for (name, list) in
        ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"].into_iter().zip(&lists)
    {
        xml.element(name, |xml| {
            xml.nest(list);
        });
    }
    Ok(xml.into())
}

/// Writes inline and managed policies.
fn write_policies(xml: &mut Xml, identity: &Identity) {
    xml.list(
        &format!("{}PolicyList", identity.kind().title()),
        "member",
        identity.inline(),
        |xml, (name, document)| {
            xml.leaf("PolicyName", name).leaf("PolicyDocument", encoded(document));
        },
    );
    attachment::write(xml, "AttachedManagedPolicies", identity.attached());
    write_boundary(xml, identity.boundary().map(String::as_str));
}

fn write_user_details(xml: &mut Xml, user: &Arc<User>, partition: Partition) {
    write_user(xml, user, partition, Detail::Listed);
    write_policies(xml, &Identity::User(Arc::clone(user)));
    xml.texts("GroupList", "member", &user.groups);
    tag_set::write(xml, &user.tags);
}

fn write_group_details(xml: &mut Xml, group: &Arc<Group>, partition: Partition) {
    write_group(xml, group, partition);
    write_policies(xml, &Identity::Group(Arc::clone(group)));
}

fn write_role_details(xml: &mut Xml, state: &State, role: &Arc<Role>, partition: Partition) {
    xml.leaf("Path", &role.path).leaf("RoleName", &role.name).leaf("RoleId", &role.unique_id);
    xml.leaf("Arn", role.arn(partition)).leaf("CreateDate", date(role.created));
    xml.optional_leaf("AssumeRolePolicyDocument", role.trust.as_deref().map(encoded));
    xml.list("InstanceProfileList", "member", profiles(state, role), |xml, profile| {
        profile::write(xml, state, profile, partition, Detail::Whole);
    });
    write_policies(xml, &Identity::Role(Arc::clone(role)));
    tag_set::write(xml, &role.tags);
    xml.element("RoleLastUsed", |_| ());
}

/// Writes the instance profiles that contain a role.
fn profiles<'a>(
    state: &'a State,
    role: &'a Role,
) -> impl Iterator<Item = &'a Arc<InstanceProfile>> {
    let has = |profile: &&Arc<InstanceProfile>| {
        profile.role.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&role.name))
    };
    state.of_account::<InstanceProfile>(role.account.as_str()).filter(has)
}
