//! Export of a state as a file from which [`super::import`] can restore it.

use std::collections::BTreeMap;

use countersign_core::name::AccountId;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::KeyStatus;
use serde::Serialize;

use crate::model::{self, Address, Level, Tags, instant};
use crate::store::State;

/// Handling of secret access keys in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportSecrets {
    /// Omit them: the file can be applied only to a store that has the keys.
    Omitted,
    /// Write them.
    Included,
}

type Texts<'s> = &'s BTreeMap<String, String>;

/// State in the form of a file, to be serialized as TOML or JSON. Omits the authority's own keys
/// and the grants of containers and of the portal.
#[derive(Serialize)]
pub struct StateExport<'s> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<Account<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aws_policies: Vec<&'s model::AwsPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Policy<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    oidc_providers: Vec<Provider<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Role<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<User<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instance_profiles: Vec<Profile<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Instance<'s>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_accounts: Vec<&'s model::ServiceAccount>,
}

impl std::fmt::Debug for StateExport<'_> {
    /// Omits the content, which may include secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exported").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Account<'s> {
    id: &'s AccountId,
    partition: &'static str,
    #[serde(skip_serializing_if = "<[Level]>::is_empty")]
    service_control: &'s [Level],
    #[serde(skip_serializing_if = "<[Level]>::is_empty")]
    resource_control: &'s [Level],
}

#[derive(Serialize)]
struct Policy<'s> {
    #[serde(flatten)]
    header: EntryHeader<'s>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'s Tags,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<String, Version<'s>>,
}

#[derive(Serialize)]
struct Version<'s> {
    created: String,
    document: &'s str,
}

#[derive(Serialize)]
struct Provider<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'s AccountId>,
    url: &'s str,
    client_ids: &'s [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    thumbprints: &'s [String],
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'s Tags,
}

/// Fields common to IAM's entities.
#[derive(Serialize)]
struct EntryHeader<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'s AccountId>,
    name: &'s str,
    #[serde(skip_serializing_if = "is_root")]
    path: &'s str,
    id: &'s str,
    created: String,
}

#[derive(Serialize)]
struct Group<'s> {
    #[serde(flatten)]
    header: EntryHeader<'s>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attached: Vec<&'s str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    policies: Texts<'s>,
}

#[derive(Serialize)]
struct Role<'s> {
    #[serde(flatten)]
    header: EntryHeader<'s>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<&'s str>,
    max_session: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attached: Vec<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boundary: Option<&'s str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'s Tags,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    policies: Texts<'s>,
}

#[derive(Serialize)]
struct User<'s> {
    #[serde(flatten)]
    header: EntryHeader<'s>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attached: Vec<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boundary: Option<&'s str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'s Tags,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    policies: Texts<'s>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access_keys: Vec<Key<'s>>,
}

#[derive(Serialize)]
struct Key<'s> {
    id: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'s str>,
    status: &'static str,
    created: String,
}

#[derive(Serialize)]
struct Profile<'s> {
    #[serde(flatten)]
    header: EntryHeader<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'s str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'s Tags,
}

#[derive(Serialize)]
struct Instance<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'s AccountId>,
    name: &'s str,
    engine: &'static str,
    region: &'s str,
    resource_id: &'s str,
    iam: bool,
    #[serde(skip_serializing_if = "<[Address]>::is_empty")]
    addresses: &'s [Address],
}

fn is_root(path: &str) -> bool {
    path == "/"
}

impl<'s> StateExport<'s> {
    /// Builds the export of a state.
    #[must_use]
    pub fn new(state: &'s State, secrets: ExportSecrets) -> Self {
        let writer = Writer { state, secrets };
        Self {
            accounts: state.accounts.values().map(|account| writer.account(account)).collect(),
            aws_policies: state.aws_policies.values().map(AsRef::as_ref).collect(),
            policies: state.policies.values().map(|policy| writer.policy(policy)).collect(),
            oidc_providers: state
                .providers
                .values()
                .map(|provider| writer.provider(provider))
                .collect(),
            groups: state.groups.values().map(|group| writer.group(group)).collect(),
            roles: state.roles.values().map(|role| writer.role(role)).collect(),
            users: state.users.values().map(|user| writer.user(user)).collect(),
            instance_profiles: state
                .profiles
                .values()
                .map(|profile| writer.profile(profile))
                .collect(),
            instances: state.instances.values().map(|instance| writer.instance(instance)).collect(),
            service_accounts: state.service_accounts.values().map(AsRef::as_ref).collect(),
        }
    }

    /// Serializes the file as TOML.
    ///
    /// # Errors
    /// If a value has no form in TOML, which does not happen for a state.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

struct Writer<'s> {
    state: &'s State,
    secrets: ExportSecrets,
}

impl<'s> Writer<'s> {
    /// Returns the account, or `None` if the state has one account only.
    fn owner(&self, account: &'s AccountId) -> Option<&'s AccountId> {
        (self.state.accounts.size() != 1).then_some(account)
    }

    fn header(
        &self,
        account: &'s AccountId,
        name: &'s str,
        path: &'s str,
        id: &'s str,
        created: u64,
    ) -> EntryHeader<'s> {
        EntryHeader { account: self.owner(account), name, path, id, created: format_time(created) }
    }

    fn account(&self, account: &'s model::Account) -> Account<'s> {
        let model::Account { id, partition, service_control, resource_control } = account;
        Account { id, partition: partition.as_str(), service_control, resource_control }
    }

    fn policy(&self, policy: &'s model::ManagedPolicy) -> Policy<'s> {
        // The short form stands for a first version as old as the policy.
        let only = policy.versions.get(&1).filter(|first| {
            (policy.versions.len(), policy.default_version, policy.next_version) == (1, 1, 2)
                && first.created == policy.created
        });
        let number = |number: u32| format!("v{number}");
        let version = |(at, version): (&u32, &'s model::PolicyVersion)| {
            (
                number(*at),
                Version { created: format_time(version.created), document: &version.document },
            )
        };
        Policy {
            header: self.header(
                &policy.account,
                &policy.name,
                &policy.path,
                &policy.unique_id,
                policy.created,
            ),
            description: &policy.description,
            document: only.map(|only| only.document.as_str()),
            default_version: only.is_none().then(|| number(policy.default_version)),
            next_version: only.is_none().then(|| number(policy.next_version)),
            tags: &policy.tags,
            versions: if only.is_some() {
                BTreeMap::new()
            } else {
                policy.versions.iter().map(version).collect()
            },
        }
    }

    fn provider(&self, provider: &'s model::OidcProvider) -> Provider<'s> {
        Provider {
            account: self.owner(&provider.account),
            url: &provider.url,
            client_ids: &provider.client_ids,
            thumbprints: &provider.thumbprints,
            created: format_time(provider.created),
            tags: &provider.tags,
        }
    }

    fn group(&self, group: &'s model::Group) -> Group<'s> {
        Group {
            header: self.header(
                &group.account,
                &group.name,
                &group.path,
                &group.unique_id,
                group.created,
            ),
            attached: group.attached.iter().map(String::as_str).collect(),
            policies: &group.inline,
        }
    }

    fn role(&self, role: &'s model::Role) -> Role<'s> {
        Role {
            header: self.header(
                &role.account,
                &role.name,
                &role.path,
                &role.unique_id,
                role.created,
            ),
            description: &role.description,
            trust: role.trust.as_deref(),
            max_session: role.max_session,
            attached: role.attached.iter().map(String::as_str).collect(),
            boundary: role.boundary.as_deref(),
            tags: &role.tags,
            policies: &role.inline,
        }
    }

    fn user(&self, user: &'s model::User) -> User<'s> {
        let key = |key: &'s model::AccessKey| Key {
            id: key.id.as_str(),
            secret: (self.secrets == ExportSecrets::Included).then_some(key.secret.as_str()),
            status: if key.status == KeyStatus::Active { "active" } else { "inactive" },
            created: format_time(key.created),
        };
        let keys = user.access_keys.iter().filter_map(|id| self.state.access_keys.get(id.as_str()));
        User {
            header: self.header(
                &user.account,
                &user.name,
                &user.path,
                &user.unique_id,
                user.created,
            ),
            groups: user.groups.iter().map(String::as_str).collect(),
            attached: user.attached.iter().map(String::as_str).collect(),
            boundary: user.boundary.as_deref(),
            tags: &user.tags,
            policies: &user.inline,
            access_keys: keys.map(|found| key(found)).collect(),
        }
    }

    fn profile(&self, profile: &'s model::InstanceProfile) -> Profile<'s> {
        Profile {
            header: self.header(
                &profile.account,
                &profile.name,
                &profile.path,
                &profile.unique_id,
                profile.created,
            ),
            role: profile.role.as_deref(),
            tags: &profile.tags,
        }
    }

    fn instance(&self, instance: &'s model::Instance) -> Instance<'s> {
        Instance {
            account: self.owner(&instance.account),
            name: instance.name.as_str(),
            engine: instance.engine.as_str(),
            region: instance.region.as_str(),
            resource_id: instance.resource_id.as_str(),
            iam: instance.iam_enabled,
            addresses: &instance.addresses,
        }
    }
}

fn format_time(at: u64) -> String {
    // The file has whole seconds.
    rfc3339(instant(at)).replace(".000Z", "Z")
}
