//! One revision of all records, in memory.

use std::sync::Arc;

use countersign_core::name::AccountId;
use countersign_core::region::Region;
use rpds::RedBlackTreeMapSync;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backend::Row;
use super::error::StoreError;
use crate::model::{
    AccessKey, Account, AwsPolicy, ContainerGrant, DbCluster, DbInstance, DbProxy, Group, Instance,
    InstanceProfile, ManagedPolicy, OidcProvider, PortalGrant, Role, SecretRecord, ServiceAccount,
    User,
};

/// Records of one kind by id. Copies share their common parts, since each change makes a copy.
pub type Table<T> = RedBlackTreeMapSync<String, Arc<T>>;

/// Record with a table of its own.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the table, also in the database.
    const KIND: &'static str;

    /// Returns the id, which is unique in the table.
    fn id(&self) -> String;

    /// Returns the table of this kind.
    fn table(state: &State) -> &Table<Self>;

    /// Returns the table of this kind for writing.
    fn table_mut(state: &mut State) -> &mut Table<Self>;
}

/// Declares the tables: field of `State`, record type, name in the database, id of a record.
macro_rules! tables {
    ($($field:ident: $record:ty = $kind:literal, |$value:ident| $id:expr;)*) => {
        /// One revision of all records. It is immutable: each change makes a new state.
        #[derive(Debug, Clone, Default)]
        pub struct State {
            $(
                #[doc = concat!("The records of the kind `", $kind, "`.")]
                pub $field: Table<$record>,
            )*
        }

        $(
            impl Record for $record {
                const KIND: &'static str = $kind;

                fn id(&self) -> String {
                    let $value = self;
                    $id
                }

                fn table(state: &State) -> &Table<Self> {
                    &state.$field
                }

                fn table_mut(state: &mut State) -> &mut Table<Self> {
                    &mut state.$field
                }
            }
        )*

        impl State {
            /// Applies a row of the database.
            pub(super) fn apply(&mut self, row: &Row) -> Result<(), StoreError> {
                match row.kind.as_str() {
                    $($kind => self.apply_record::<$record>(row),)*
                    kind => Err(StoreError::Schema(format!(
                        "the record kind {kind:?} is unknown; use the version of countersign that \
                         wrote it"
                    ))),
                }
            }
        }
    };
}

tables! {
    accounts: Account = "account", |account| account.id.to_string();
    users: User = "user", |user| account_key(user.account.as_str(), &user.name);
    groups: Group = "group", |group| account_key(group.account.as_str(), &group.name);
    roles: Role = "role", |role| account_key(role.account.as_str(), &role.name);
    profiles: InstanceProfile = "instance-profile",
        |profile| account_key(profile.account.as_str(), &profile.name);
    policies: ManagedPolicy = "policy", |policy| account_key(policy.account.as_str(), &policy.name);
    aws_policies: AwsPolicy = "aws-policy", |policy| policy.arn.clone();
    access_keys: AccessKey = "access-key", |key| key.id.to_string();
    providers: OidcProvider = "oidc-provider",
        |provider| account_key(provider.account.as_str(), &provider.host);
    instances: Instance = "instance", |instance| instance.name.to_string();
    db_instances: DbInstance = "db-instance", |instance| instance.name.to_string();
    db_clusters: DbCluster = "db-cluster",
        |cluster| regional_key(&cluster.account, &cluster.region, &cluster.name);
    db_proxies: DbProxy = "db-proxy",
        |proxy| regional_key(&proxy.account, &proxy.region, &proxy.name);
    service_accounts: ServiceAccount = "service-account",
        |account| account_key(&account.namespace, &account.name);
    containers: ContainerGrant = "container", |grant| grant.id.clone();
    portal: PortalGrant = "portal", |grant| grant.token_hash.clone();
    secrets: SecretRecord = "secret", |secret| secret.name.clone();
}

/// Returns the id of a record that has a name in an account. "Names are not distinguished by case",
/// so the id is in lower case. Source: "IAM and AWS STS quotas", name requirements, in the IAM user
/// guide.
#[must_use]
pub fn account_key(account: &str, name: &str) -> String {
    let mut id = String::with_capacity(account.len() + name.len() + 1);
    id.push_str(account);
    id.push('/');
    id.push_str(name);
    id.make_ascii_lowercase();
    id
}

/// Returns the id of a record that has a name in a region of an account.
#[must_use]
pub fn regional_key(account: &AccountId, region: &Region, name: &str) -> String {
    account_key(account.as_str(), &format!("{region}/{name}"))
}

impl State {
    /// Returns the record with this id.
    #[must_use]
    pub fn get<R: Record>(&self, id: &str) -> Option<&Arc<R>> {
        R::table(self).get(id)
    }

    /// Returns the records of an account, in the order of their ids.
    pub fn of_account<'a, R: Record>(
        &'a self,
        account: &str,
    ) -> impl Iterator<Item = &'a Arc<R>> + 'a {
        let (first, end) = (format!("{account}/"), format!("{account}0"));
        // `0` is the character after `/`.
        R::table(self).range(first..end).map(|(_, record)| record)
    }

    fn apply_record<R: Record>(&mut self, row: &Row) -> Result<(), StoreError> {
        match &row.body {
            None => R::table_mut(self).remove_mut(&row.id),
            Some(body) => {
                let record: R = serde_json::from_str(body).map_err(|error| {
                    // A parser's error may quote its input, which may be a secret.
                    let (line, column) = (error.line(), error.column());
                    StoreError::Corrupt(format!(
                        "{} {:?} is not valid at line {line}, column {column}",
                        row.kind, row.id
                    ))
                })?;
                R::table_mut(self).insert_mut(row.id.clone(), Arc::new(record));
                true
            }
        };
        Ok(())
    }
}
