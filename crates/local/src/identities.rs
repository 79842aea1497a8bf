//! Users and roles to try a stack with: made, granted, revoked, disabled.

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

/// The IAM user, and the database user, that a stack has from the start.
pub const DEFAULT_USER: &str = "app";

/// The name of the one policy that is granted and revoked here.
const POLICY: &str = "rds-db-connect";

/// The name of the sessions that roles are assumed in here.
const SESSION: &str = "countersign-local";

/// What a new user or role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Log in as its database user, on every server: the stack's, and those that are attached.
    Usual,
    /// Nothing yet.
    Nothing,
}

/// Administers the users and roles of a stack.
#[derive(Debug, Clone, Copy)]
pub struct Identities<'a> {
    layout: &'a Layout,
    state: &'a State,
    store: &'a Store,
    unpacked: &'a Path,
}

impl<'a> Identities<'a> {
    /// Of the stack that `state` describes, with its store.
    #[must_use]
    pub const fn new(
        layout: &'a Layout,
        state: &'a State,
        store: &'a Store,
        unpacked: &'a Path,
    ) -> Self {
        Self { layout, state, store, unpacked }
    }

    /// Makes a user, with an access key, or a role, and on every server a database user of the name `db_user` who logs in
    /// with IAM.
    ///
    /// # Errors
    /// [`LocalError::Store`] where it exists, [`LocalError::Unusable`] for a superuser, and those of the servers.
    pub fn create(
        &self,
        kind: IdentityKind,
        name: &str,
        db_user: &DbUser,
        grant: Grant,
    ) -> Result<(), LocalError> {
        let identity = self.identity(kind, name)?;
        // The database users first: what is left behind by a failure is found and used the next time.
        self.create_database_user(db_user)?;
        let document = self.policy_for(db_user)?;
        let policy = match grant {
            Grant::Usual => Some((POLICY, document.as_str())),
            Grant::Nothing => None,
        };
        self.store.create_identity(
            &NewIdentity { identity: &identity, trust: None, policy },
            SystemTime::now(),
        )?;
        Ok(())
    }

    /// Lets a user or role log in as `db_user` on every server; or gives it the policy `document` in that one's place.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name and for a policy that can't be evaluated.
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

    /// Takes the policy away again; `false` where there was none.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn revoke(&self, kind: IdentityKind, name: &str) -> Result<bool, LocalError> {
        Ok(self.store.delete_policy(&self.identity(kind, name)?, POLICY)?)
    }

    /// Switches every access key of a user on or off, and says which there are.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name.
    pub fn set_keys(&self, name: &str, status: KeyStatus) -> Result<Vec<AccessKeyId>, LocalError> {
        let keys = self.store.access_keys(&self.identity(IdentityKind::User, name)?)?;
        keys.iter().try_for_each(|key| self.store.set_key_status(&key.id, status))?;
        Ok(keys.iter().map(|key| key.id.clone()).collect())
    }

    /// The newest access key of a user, switched on or not.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown name, or a user without a key.
    pub fn access_key(&self, name: &str) -> Result<Credentials, LocalError> {
        let identity = self.identity(IdentityKind::User, name)?;
        let newest = self.store.access_keys(&identity)?.pop();
        let credentials = newest.and_then(|key| key.credentials());
        Ok(credentials.ok_or_else(|| StoreError::NotFound(format!("access key of {name}")))?)
    }

    /// Temporary credentials: of a user, or of a role that is assumed.
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

    /// The user that a stack has from the start. Where it exists, its policy stays as its owner left it, unless it is the
    /// one that was made for the servers of `before`.
    pub(crate) fn ensure_default_user(&self, before: Option<&State>) -> Result<(), LocalError> {
        let db_user = DEFAULT_USER.parse()?;
        match self.create(IdentityKind::User, DEFAULT_USER, &db_user, Grant::Usual) {
            Err(LocalError::Store(StoreError::AlreadyExists(_))) => {}
            made => return made,
        }
        let Some(before) = before else { return Ok(()) };
        let made_here = Identities { state: before, ..*self }.policy_for(&db_user)?;
        if self.default_user_has(&made_here)? {
            self.grant(IdentityKind::User, DEFAULT_USER, &db_user, None)
        } else {
            Ok(())
        }
    }

    /// Tells the authority of a server that somebody else runs, and gives its resource id, by which policies name it. The
    /// user that a stack has from the start may log in there too, unless its policy is its owner's.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] for the name of one of the stack's own servers.
    pub fn attach(&self, server: &Attached) -> Result<ResourceId, LocalError> {
        self.keeping_default_grant(|| attached::add(self.layout, self.store, self.state, server))
    }

    /// Forgets a server that was attached: nobody is let in there from now on.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] for the name of one of the stack's own servers, or of none.
    pub fn detach(&self, name: &InstanceId) -> Result<(), LocalError> {
        self.keeping_default_grant(|| attached::remove(self.layout, self.store, name))
    }

    /// The servers that are attached.
    ///
    /// # Errors
    /// [`LocalError::Store`]
    pub fn attached(&self) -> Result<Vec<Instance>, LocalError> {
        attached::list(self.layout, self.store)
    }

    /// Does `work`, which changes what is attached; a policy of the default user that was made here is made anew after it.
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
        let mut running = self.own().filter(|instance| instance.standing == DesiredState::Up);
        running.try_for_each(|instance| self.server(instance)?.ensure_login(instance.port, db_user))
    }

    /// Whether an instance's server runs.
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`] where the server's programs have gone.
    pub fn is_running(&self, instance: &InstanceState) -> Result<bool, LocalError> {
        Ok(self.server(instance)?.is_running())
    }

    /// psql, mariadb or mysql as the administrator of an instance, ready to be run.
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`] where the server's programs have gone.
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
            instance.maker,
        ))
    }

    /// The servers that `local up` made: those of the RDS API have users and policies of their maker's.
    fn own(&self) -> impl Iterator<Item = &'a InstanceState> {
        self.state.instances.iter().filter(|instance| instance.maker == CreatedBy::CommandLine)
    }

    fn identity(&self, kind: IdentityKind, name: &str) -> Result<Identity, LocalError> {
        Ok(Identity::new(self.state.account.clone(), kind, name)?)
    }

    /// The policy of AWS's guide, for each server by its resource id: first the stack's own, then those that are attached.
    fn policy_for(&self, db_user: &DbUser) -> Result<String, LocalError> {
        let State { region, account, .. } = self.state;
        let attached = self.attached()?;
        let ids = self
            .own()
            .map(|own| &own.resource_id)
            .chain(attached.iter().map(|attached| &attached.resource_id));
        // What a policy reads as a wildcard or a variable stands for itself in a user's name.
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
            .map_err(|error| LocalError::Unusable(format!("a policy can't be written: {error}")))
    }
}
