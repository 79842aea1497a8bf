//! One revision of everything that the authority knows, in memory.

use std::sync::Arc;

use countersign_core::name::AccountId;
use countersign_core::region::Region;
use rpds::RedBlackTreeMapSync;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::backend::Row;
use crate::model::{
    AccessKey, Account, AwsPolicy, ContainerGrant, DbCluster, DbInstance, DbProxy, Group, Instance,
    InstanceProfile, ManagedPolicy, OidcProvider, PortalGrant, Role, SecretRecord, ServiceAccount,
    User,
};

/// Records of one kind by id, in its order. Copies share what they have in common: one is made for each change.
pub type Table<T> = RedBlackTreeMapSync<String, Arc<T>>;

/// What is kept in a table of its own.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the table, in the store too.
    const KIND: &'static str;

    /// What names the record among its kind.
    fn id(&self) -> String;

    /// Its table.
    fn table(state: &State) -> &Table<Self>;

    /// Its table, to be changed.
    fn table_mut(state: &mut State) -> &mut Table<Self>;
}

/// Declares the tables: the field, what is in it, its name in the store, and a record's id.
macro_rules! tables {
    ($($field:ident: $record:ty = $kind:literal, |$value:ident| $id:expr;)*) => {
        /// One revision of everything. It does not change: what changes makes a new one.
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
            /// Takes over a row as it is in the store.
            pub(super) fn apply(&mut self, row: &Row) -> Result<(), StoreError> {
                match row.kind.as_str() {
                    $($kind => self.take_over::<$record>(row),)*
                    kind => Err(StoreError::Schema(format!("it has records of the kind {kind:?}, which this program does not know"))),
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
    profiles: InstanceProfile = "instance-profile", |profile| account_key(profile.account.as_str(), &profile.name);
    policies: ManagedPolicy = "policy", |policy| account_key(policy.account.as_str(), &policy.name);
    aws_policies: AwsPolicy = "aws-policy", |policy| policy.arn.clone();
    access_keys: AccessKey = "access-key", |key| key.id.to_string();
    providers: OidcProvider = "oidc-provider", |provider| account_key(provider.account.as_str(), &provider.host);
    instances: Instance = "instance", |instance| instance.name.to_string();
    db_instances: DbInstance = "db-instance", |instance| instance.name.to_string();
    db_clusters: DbCluster = "db-cluster", |cluster| regional_key(&cluster.account, &cluster.region, &cluster.name);
    db_proxies: DbProxy = "db-proxy", |proxy| regional_key(&proxy.account, &proxy.region, &proxy.name);
    service_accounts: ServiceAccount = "service-account", |account| account_key(&account.namespace, &account.name);
    containers: ContainerGrant = "container", |grant| grant.id.clone();
    portal: PortalGrant = "portal", |grant| grant.token_hash.clone();
    secrets: SecretRecord = "secret", |secret| secret.name.clone();
}

/// The id of what has a name in an account. "Names are not distinguished by case": no two differ by it alone.
/// Source: "IAM and AWS STS quotas", name requirements, in the IAM user guide.
#[must_use]
pub fn account_key(account: &str, name: &str) -> String {
    let mut id = String::with_capacity(account.len() + name.len() + 1);
    id.push_str(account);
    id.push('/');
    id.push_str(name);
    id.make_ascii_lowercase();
    id
}

/// The id of what has a name in a region of an account.
#[must_use]
pub fn regional_key(account: &AccountId, region: &Region, name: &str) -> String {
    account_key(account.as_str(), &format!("{region}/{name}"))
}

impl State {
    /// The record of that id.
    #[must_use]
    pub fn get<R: Record>(&self, id: &str) -> Option<&Arc<R>> {
        R::table(self).get(id)
    }

    /// The records of an account, in the order of their ids.
    pub fn of_account<'a, R: Record>(
        &'a self,
        account: &str,
    ) -> impl Iterator<Item = &'a Arc<R>> + 'a {
        let (first, end) = (format!("{account}/"), format!("{account}0"));
        // The character behind the slash is the zero.
        R::table(self).range(first..end).map(|(_, record)| record)
    }

    fn take_over<R: Record>(&mut self, row: &Row) -> Result<(), StoreError> {
        match &row.body {
            None => R::table_mut(self).remove_mut(&row.id),
            Some(body) => {
                let record: R = serde_json::from_str(body).map_err(|error| {
                    // The error of a parser may quote what it read, and that may be a secret.
                    let (line, column) = (error.line(), error.column());
                    StoreError::Corrupt(format!(
                        "the {} {:?} can't be read: column {column} of line {line}",
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
