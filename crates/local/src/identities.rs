//! IAM users and roles of a stack: created, granted, revoked, disabled.

use std::path::Path;
use std::time::{Duration, SystemTime};

use countersign_authority::model::{Identity, IdentityKind, Instance};
use countersign_authority::store::{NewIdentity, SessionRequest, Store, StoreError};
use countersign_core::credentials::Credentials;
use countersign_core::name::{AccessKeyId, DbUser, InstanceId, ResourceId};
use countersign_core::token::KeyStatus;

use crate::os_user::RunAs;
use crate::server::Server;
use crate::stack::attached::{self, Attached};
use crate::state::{CreatedBy, DesiredState, InstanceState, State};
use crate::{Installation, Layout, LocalError};

/// Name of the default IAM user and database user.
pub const DEFAULT_USER: &str = "app";

/// Name of the only policy that is granted and revoked here.
const POLICY: &str = "rds-db-connect";

/// Session name of assumed roles.
const SESSION: &str = "countersign-local";

/// Initial permissions of a user or role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Log in as its database user on every server: the stack's own and the attached ones.
    Default,
    /// None.
    None,
}

/// Administers the IAM users and roles of a stack.
#[derive(Debug, Clone, Copy)]
pub struct Identities<'a> {
    layout: &'a Layout,
    state: &'a State,
    store: &'a Store,
    unpacked: &'a Path,
}

impl<'a> Identities<'a> {
    /// Administers the stack that `state` describes.
    #[must_use]
    pub const fn new(
        layout: &'a Layout,
        state: &'a State,
        store: &'a Store,
        unpacked: &'a Path,
    ) -> Self {
        Self { layout, state, store, unpacked }
    }

    /// Creates an IAM user with an access key, or a role, and a database user `db_user` on every
    /// server.
    ///
    /// # Errors
    /// [`LocalError::Store`] if it exists, [`LocalError::Unusable`] for a superuser, and those of
    /// the servers.
    pub fn create(
        &self,
        kind: IdentityKind,
        name: &str,
        db_user: &DbUser,
        grant: Grant,
    ) -> Result<(), LocalError> {
        let identity = self.identity(kind, name)?;
        // Database users first: after a failure the next attempt finds and uses them.
        self.create_database_user(db_user)?;
        let document = self.policy_for(db_user)?;
        let policy = match grant {
            Grant::Default => Some((POLICY, document.as_str())),
            Grant::None => None,
        };
        self.store.create_identity(
            &NewIdentity { identity: &identity, trust: None, policy },
            SystemTime::now(),
        )?;
        Ok(())
    }

    /// Allows a user or role to log in as `db_user` on every server, or attaches `document`
    /// instead.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name or an invalid policy.
    pub fn grant(
        &self,
        kind: IdentityKind,
        name: &str,
        db_user: &DbUser,
        document: Option<&str>,
    ) -> Result<(), LocalError> {
        let usual = || self.policy_for(db_user);
        let document = document.map_or_else(usual, |document| Ok(document.to_owned()))?;
        Ok(self.store.put_policy(&self.identity(kind, name)?, POLICY, &document)?)
    }

    /// Removes the policy. Returns `false` if there was none.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn revoke(&self, kind: IdentityKind, name: &str) -> Result<bool, LocalError> {
        Ok(self.store.delete_policy(&self.identity(kind, name)?, POLICY)?)
    }

    /// Sets the status of every access key of a user, and returns their ids.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn set_keys(&self, name: &str, status: KeyStatus) -> Result<Vec<AccessKeyId>, LocalError> {
        let keys = self.store.access_keys(&self.identity(IdentityKind::User, name)?)?;
        keys.iter().try_for_each(|key| self.store.set_key_status(&key.id, status))?;
        Ok(keys.iter().map(|key| key.id.clone()).collect())
    }

    /// Returns the newest access key of a user, active or not.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name, or a user without a key.
    pub fn access_key(&self, name: &str) -> Result<Credentials, LocalError> {
        let identity = self.identity(IdentityKind::User, name)?;
        let newest = self.store.access_keys(&identity)?.pop();
        let credentials = newest.and_then(|key| key.credentials());
        Ok(credentials.ok_or_else(|| StoreError::NotFound(format!("access key of {name}")))?)
    }

    /// Issues temporary credentials of a user, or of an assumed role.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn session(
        &self,
        kind: IdentityKind,
        name: &str,
        duration: Duration,
    ) -> Result<Credentials, LocalError> {
        let identity = self.identity(kind, name)?;
        let name = (kind == IdentityKind::Role).then_some(SESSION);
        let request = SessionRequest { identity: &identity, name, duration, policy: None };
        Ok(self.store.create_session(&request, SystemTime::now())?)
    }

    /// Creates the default user.
    ///
    /// An existing user keeps a policy that the operator changed; the policy generated for the
    /// servers of `before` is generated anew.
    pub(crate) fn ensure_default_user(&self, before: Option<&State>) -> Result<(), LocalError> {
        let db_user = DEFAULT_USER.parse()?;
        match self.create(IdentityKind::User, DEFAULT_USER, &db_user, Grant::Default) {
            Err(LocalError::Store(StoreError::AlreadyExists(_))) => {}
            created => return created,
        }
        let Some(before) = before else { return Ok(()) };
        let made_here = Identities { state: before, ..*self }.policy_for(&db_user)?;
        if self.default_user_has(&made_here)? {
            self.grant(IdentityKind::User, DEFAULT_USER, &db_user, None)
        } else {
            Ok(())
        }
    }

    /// Registers a server outside of the stack, and returns its resource id, which policies refer
    /// to.
    ///
    /// The default user may log in there too, unless the operator changed its policy.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] for the name of one of the stack's own servers.
    pub fn attach(&self, server: &Attached) -> Result<ResourceId, LocalError> {
        self.keeping_default_grant(|| attached::add(self.layout, self.store, self.state, server))
    }

    /// Removes an attached server: logins there are denied from now on.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] for the name of one of the stack's own servers, or an unknown name.
    pub fn detach(&self, name: &InstanceId) -> Result<(), LocalError> {
        self.keeping_default_grant(|| attached::remove(self.layout, self.store, name))
    }

    /// Returns the attached servers.
    ///
    /// # Errors
    /// [`LocalError::Store`]
    pub fn attached(&self) -> Result<Vec<Instance>, LocalError> {
        attached::list(self.layout, self.store)
    }

    /// Runs `work`, which changes the attached servers, then generates the default user's policy
    /// anew unless the operator changed it.
    fn keeping_default_grant<T>(
        &self,
        work: impl FnOnce() -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let made_here = self.default_user_has(&self.policy_for(&DEFAULT_USER.parse()?)?)?;
        let done = work()?;
        if made_here {
            self.grant(IdentityKind::User, DEFAULT_USER, &DEFAULT_USER.parse()?, None)?;
        }
        Ok(done)
    }

    fn default_user_has(&self, policy: &str) -> Result<bool, LocalError> {
        let kept = self.store.policy(&self.identity(IdentityKind::User, DEFAULT_USER)?, POLICY)?;
        Ok(kept.as_deref() == Some(policy))
    }

    fn create_database_user(&self, db_user: &DbUser) -> Result<(), LocalError> {
        let mut running = self.own().filter(|instance| instance.desired_state == DesiredState::Up);
        running.try_for_each(|instance| self.server(instance)?.ensure_login(instance.port, db_user))
    }

    /// Returns true if an instance's server runs.
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`] if the server's programs are gone.
    pub fn is_running(&self, instance: &InstanceState) -> Result<bool, LocalError> {
        Ok(self.server(instance)?.is_running())
    }

    /// Returns a psql, mariadb or mysql command that connects as an instance's administrator.
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`] if the server's programs are gone.
    pub fn client(&self, instance: &InstanceState) -> Result<std::process::Command, LocalError> {
        Ok(self.server(instance)?.client(instance.port))
    }

    fn server(&self, instance: &InstanceState) -> Result<Server, LocalError> {
        let installation =
            Installation::find(instance.engine, Some(instance.version), self.unpacked)?;
        Ok(Server::new(
            installation,
            instance.instance.clone(),
            self.layout,
            RunAs::choose()?,
            instance.created_by,
        ))
    }

    /// Servers that `local up` created. Those of the RDS API have users and policies of their own.
    fn own(&self) -> impl Iterator<Item = &'a InstanceState> {
        self.state.instances.iter().filter(|instance| instance.created_by == CreatedBy::CommandLine)
    }

    fn identity(&self, kind: IdentityKind, name: &str) -> Result<Identity, LocalError> {
        Ok(Identity::new(self.state.account.clone(), kind, name)?)
    }

    /// Returns the policy of AWS's guide for each server by its resource id: the stack's own
    /// servers first, then the attached ones.
    fn policy_for(&self, db_user: &DbUser) -> Result<String, LocalError> {
        let State { region, account, .. } = self.state;
        let attached = self.attached()?;
        let ids = self
            .own()
            .map(|own| &own.resource_id)
            .chain(attached.iter().map(|attached| &attached.resource_id));
        // Characters that a policy reads as a wildcard or variable are escaped.
        let literal =
            db_user.as_str().replace('$', "${$}").replace('*', "${*}").replace('?', "${?}");
        let resource = |id: &ResourceId| {
            format!("arn:{}:rds-db:{region}:{account}:dbuser:{id}/{literal}", region.partition())
        };
        let document = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "ConnectAsDatabaseUser",
                "Effect": "Allow",
                "Action": "rds-db:connect",
                "Resource": ids.map(resource).collect::<Vec<_>>(),
            }],
        });
        serde_json::to_string_pretty(&document)
            .map_err(|error| LocalError::Unusable(format!("cannot write a policy: {error}")))
    }
}
