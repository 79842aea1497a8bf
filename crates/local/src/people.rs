//! Users and roles to try a stack with: made, granted, revoked, disabled.

use std::path::Path;
use std::time::{Duration, SystemTime};

use countersign_authority::store::{Identity, IdentityKind, NewIdentity, PolicySlot, SessionRequest, Store, StoreError};
use countersign_core::credentials::Credentials;
use countersign_core::name::{AccessKeyId, DbUser};
use countersign_core::token::KeyStatus;

use crate::os_user::RunAs;
use crate::postgres::Postgres;
use crate::state::{InstanceState, State};
use crate::{Installation, Layout, LocalError};

/// The IAM user, and the database user, that a stack has from the start.
pub const DEFAULT_USER: &str = "app";

/// The name of the one policy that is granted and revoked here.
const POLICY: &str = "rds-db-connect";

/// The name of the sessions that roles are assumed in here.
const SESSION: &str = "countersign-local";

/// What a new user or role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Log in as its database user, on every server.
    Usual,
    /// Nothing yet.
    Nothing,
}

/// Administers the users and roles of a stack.
#[derive(Debug, Clone, Copy)]
pub struct People<'a> {
    layout: &'a Layout,
    state: &'a State,
    store: &'a Store,
    unpacked: &'a Path,
}

impl<'a> People<'a> {
    /// Of the stack that `state` describes, with its store.
    #[must_use]
    pub const fn new(layout: &'a Layout, state: &'a State, store: &'a Store, unpacked: &'a Path) -> Self {
        Self { layout, state, store, unpacked }
    }

    /// Makes a user, with an access key, or a role, and on every server a database user of the name `db_user` who is a
    /// member of `rds_iam`.
    ///
    /// # Errors
    /// [`LocalError::Store`] where it exists, [`LocalError::Unusable`] for a superuser, and those of the servers.
    pub fn create(&self, kind: IdentityKind, name: &str, db_user: &DbUser, grant: Grant) -> Result<(), LocalError> {
        let identity = self.identity(kind, name)?;
        // The database users first: what is left behind by a failure is found and used the next time.
        self.create_database_user(db_user)?;
        let document = self.policy_for(db_user)?;
        let policy = match grant {
            Grant::Usual => Some((POLICY, document.as_str())),
            Grant::Nothing => None,
        };
        self.store.create_identity(&NewIdentity { identity: &identity, trust: None, policy }, SystemTime::now())?;
        Ok(())
    }

    /// Lets a user or role log in as `db_user` on every server; or gives it the policy `document` in that one's place.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name and for a policy that can't be evaluated.
    pub fn grant(&self, kind: IdentityKind, name: &str, db_user: &DbUser, document: Option<&str>) -> Result<(), LocalError> {
        let usual = || self.policy_for(db_user);
        let document = document.map_or_else(usual, |document| Ok(document.to_owned()))?;
        Ok(self.store.put_policy(&self.identity(kind, name)?, PolicySlot::Inline, POLICY, &document)?)
    }

    /// Takes the policy away again; `false` where there was none.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn revoke(&self, kind: IdentityKind, name: &str) -> Result<bool, LocalError> {
        Ok(self.store.delete_policy(&self.identity(kind, name)?, PolicySlot::Inline, POLICY)?)
    }

    /// Switches every access key of a user on or off, and says which there are.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn set_keys(&self, name: &str, status: KeyStatus) -> Result<Vec<AccessKeyId>, LocalError> {
        let keys = self.store.access_keys(&self.identity(IdentityKind::User, name)?)?;
        keys.iter().try_for_each(|key| self.store.set_key_status(&key.id, status))?;
        Ok(keys.into_iter().map(|key| key.id).collect())
    }

    /// The newest access key of a user, switched on or not.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name, or a user without a key.
    pub fn access_key(&self, name: &str) -> Result<Credentials, LocalError> {
        let identity = self.identity(IdentityKind::User, name)?;
        let newest = self.store.access_keys(&identity)?.pop();
        let key = newest.map(|key| self.store.key(&key.id)).transpose()?.flatten();
        Ok(key.map(|key| key.credentials).ok_or_else(|| StoreError::Missing(format!("access key of {name}")))?)
    }

    /// Temporary credentials: of a user, or of a role that is assumed.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn session(&self, kind: IdentityKind, name: &str, duration: Duration) -> Result<Credentials, LocalError> {
        let identity = self.identity(kind, name)?;
        let name = (kind == IdentityKind::Role).then_some(SESSION);
        let request = SessionRequest { identity: &identity, name, duration, policy: None };
        Ok(self.store.create_session(&request, SystemTime::now())?)
    }

    /// The user that a stack has from the start. Where it exists, its policy stays as its owner left it, unless it is the
    /// one that was made for the servers of `before`.
    pub(crate) fn ensure_default_user(&self, before: Option<&State>) -> Result<(), LocalError> {
        let db_user = DEFAULT_USER.parse()?;
        match self.create(IdentityKind::User, DEFAULT_USER, &db_user, Grant::Usual) {
            Err(LocalError::Store(StoreError::Exists(_))) => {}
            made => return made,
        }
        let Some(before) = before else { return Ok(()) };
        let kept = self.store.policy(&self.identity(IdentityKind::User, DEFAULT_USER)?, PolicySlot::Inline, POLICY)?;
        let made_here = People { state: before, ..*self }.policy_for(&db_user)?;
        if kept.as_deref() == Some(&made_here) { self.grant(IdentityKind::User, DEFAULT_USER, &db_user, None) } else { Ok(()) }
    }

    fn create_database_user(&self, db_user: &DbUser) -> Result<(), LocalError> {
        let variables = [("name", db_user.as_str())];
        if db_user.as_str() == "rds_iam" {
            return Err(LocalError::Unusable(
                "rds_iam is the role that IAM users are members of: name another database user with --db-user".to_owned(),
            ));
        }
        self.state.instances.iter().try_for_each(|instance| {
            let server = self.server(instance)?;
            let superuser = server.sql(instance.port, "SELECT rolsuper FROM pg_roles WHERE rolname = :'name'", &variables)?;
            if superuser == "t" {
                let user = db_user.as_str();
                return Err(LocalError::Unusable(format!("the database user {user:?} is a superuser: name another one with --db-user")));
            }
            server.sql(instance.port, include_str!("postgres/login.sql"), &variables).map(drop)
        })
    }

    /// Whether an instance's server runs.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] where the server's programs have gone.
    pub fn is_running(&self, instance: &InstanceState) -> Result<bool, LocalError> {
        Ok(self.server(instance)?.is_running())
    }

    /// psql as the superuser of an instance, ready to be run.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] where the server's programs have gone.
    pub fn psql(&self, instance: &InstanceState) -> Result<std::process::Command, LocalError> {
        Ok(self.server(instance)?.psql(instance.port))
    }

    fn server(&self, instance: &InstanceState) -> Result<Postgres, LocalError> {
        let installation = Installation::find(Some(instance.version), self.unpacked)?;
        Ok(Postgres::new(installation, instance.instance.clone(), self.layout, RunAs::choose()?))
    }

    fn identity(&self, kind: IdentityKind, name: &str) -> Result<Identity, LocalError> {
        Ok(Identity::new(self.state.account.clone(), kind, name)?)
    }

    /// The policy of AWS's guide, for each server by its resource id.
    fn policy_for(&self, db_user: &DbUser) -> Result<String, LocalError> {
        let State { region, account, .. } = self.state;
        // What a policy reads as a wildcard or a variable stands for itself in a user's name.
        let literal = db_user.as_str().replace('$', "${$}").replace('*', "${*}").replace('?', "${?}");
        let resource = |instance: &InstanceState| {
            let id = &instance.resource_id;
            format!("arn:{}:rds-db:{region}:{account}:dbuser:{id}/{literal}", region.partition())
        };
        let document = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "ConnectAsDatabaseUser",
                "Effect": "Allow",
                "Action": "rds-db:connect",
                "Resource": self.state.instances.iter().map(resource).collect::<Vec<_>>(),
            }],
        });
        serde_json::to_string_pretty(&document).map_err(|error| LocalError::Unusable(format!("a policy can't be written: {error}")))
    }
}
