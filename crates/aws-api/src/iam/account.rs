//! Summary and aliases of the account.

use super::access_key::MAX_KEYS;
use super::attachment::MAX_ATTACHED;
use super::entity::PAGING;
use super::group::{MAX_GROUPS, MAX_GROUPS_OF_USER};
use super::identity::Kind;
use super::policy::MAX_DOCUMENT;
use super::profile::MAX_PROFILES;
use super::role::MAX_TRUST;
use super::user::MAX_USERS;
use super::version::MAX_VERSIONS;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{
    Group, InstanceProfile, ManagedPolicy, OidcProvider, Role, User,
};

pub(super) const ACTIONS: &[Action] = &[
    Action::reads("GetAccountSummary", &[], get_summary),
    Action::reads("ListAccountAliases", &["Marker", "MaxItems"], list_aliases),
];

fn get_summary(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    ctx.authorize("iam:GetAccountSummary", &Target::of("*"))?;
    let (account, state) = (ctx.account()?.as_str(), &ctx.state);
    let versions =
        state.of_account::<ManagedPolicy>(account).map(|policy| policy.versions.len()).sum();
    let counts = [
        ("Users", state.of_account::<User>(account).count()),
        ("UsersQuota", MAX_USERS),
        ("Groups", state.of_account::<Group>(account).count()),
        ("GroupsQuota", MAX_GROUPS),
        ("GroupsPerUserQuota", MAX_GROUPS_OF_USER),
        ("AccessKeysPerUserQuota", MAX_KEYS),
        ("Roles", state.of_account::<Role>(account).count()),
        ("Policies", state.of_account::<ManagedPolicy>(account).count()),
        ("PolicyVersionsInUse", versions),
        ("InstanceProfiles", state.of_account::<InstanceProfile>(account).count()),
        ("InstanceProfilesQuota", MAX_PROFILES),
        ("AssumeRolePolicySizeQuota", MAX_TRUST),
        ("AttachedPoliciesPerGroupQuota", MAX_ATTACHED),
        ("AttachedPoliciesPerRoleQuota", MAX_ATTACHED),
        ("AttachedPoliciesPerUserQuota", MAX_ATTACHED),
        ("GroupPolicySizeQuota", Kind::Group.inline_size()),
        ("RolePolicySizeQuota", Kind::Role.inline_size()),
        ("UserPolicySizeQuota", Kind::User.inline_size()),
        ("PolicySizeQuota", MAX_DOCUMENT),
        ("VersionsPerPolicyQuota", MAX_VERSIONS),
        ("Providers", state.of_account::<OidcProvider>(account).count()),
        // The authority has none of these.
        ("ServerCertificates", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("AccountMFAEnabled", 0),
        ("AccountAccessKeysPresent", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
    ];
    let mut xml = Xml::new();
    xml.list("SummaryMap", "entry", counts, |xml, (name, count)| {
        xml.leaf("key", name).leaf("value", count);
    });
    Ok(xml.into())
}

/// `ListAccountAliases`: accounts have no aliases here.
fn list_aliases(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    ctx.authorize("iam:ListAccountAliases", &Target::of("*"))?;
    let page = PAGING.page(ctx, std::iter::empty::<(String, String)>())?;
    let mut xml = Xml::new();
    xml.texts("AccountAliases", "member", &page.items);
    page.write_truncation(&mut xml);
    Ok(xml.into())
}
