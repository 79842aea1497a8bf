//! The places that machines, pods and people get credentials from, as a process finds them: the variables that each platform sets,
//! and the files that they lead to.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use countersign_authority::issuer::{POD_IDENTITY_AUDIENCE, STS_AUDIENCE};
use countersign_authority::model::instant;
use countersign_authority::store::{PortalRequest, Store, StoreError, account_key};
use countersign_core::timestamp::rfc3339;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::layout::{make_directory, write_atomically};
use crate::projection::{Projections, pod, read};
use crate::state::State;
use crate::{Layout, LocalError};

/// The role that a stack has for these places from the start.
pub const DEFAULT_ROLE: &str = "app-pod";

/// Where people sign in. No name server knows it: nobody is asked there, since the sign-in is in the cache already.
const START_URL: &str = "https://sso.countersign.internal/start";

/// SHA-1 of [`START_URL`], after which the SDKs name the file of the sign-in.
const START_URL_HASH: &str = "37079d3b241da592e4b80ec2b927c4adc0ee8ed4";

/// How long a sign-in lasts. Source: "Session durations" in the IAM Identity Center user guide: eight hours.
const SIGN_IN: Duration = Duration::from_secs(8 * 3600);

/// The longest sign-in that is read, in bytes.
const MAX_SIGN_IN: u64 = 4096;

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// IAM roles for service accounts: a pod's token for STS.
    Irsa(Account<'a>),
    /// EKS Pod Identity: a pod's token for the agent.
    PodIdentity(Account<'a>),
    /// The endpoint that ECS gives to containers.
    Ecs,
    /// EC2's instance metadata.
    Imds,
    /// A user who signed in to IAM Identity Center.
    Sso {
        /// The user's name.
        user: &'a str,
    },
}

/// A service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// A variable and its value, which may be a secret.
pub type Variable = (&'static str, Zeroizing<String>);

/// Prepares the places of a stack that runs.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    layout: &'a Layout,
    state: &'a State,
    store: &'a Store,
}

impl<'a> Sources<'a> {
    /// Of the stack that `state` describes, with its store.
    #[must_use]
    pub const fn new(layout: &'a Layout, state: &'a State, store: &'a Store) -> Self {
        Self { layout, state, store }
    }

    /// The variables of a process whose credentials come from `source` and are the role's of that name: the default one's, where
    /// none is given, or the one that is associated with the service account already. Everything that they lead to is made.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown role, [`LocalError::Unusable`] for a place that the stack does not have.
    pub fn variables(
        &self,
        source: Source<'_>,
        role: Option<&str>,
    ) -> Result<Vec<Variable>, LocalError> {
        let mut variables = match source {
            Source::Irsa(account) => self.irsa(account, role)?,
            Source::PodIdentity(account) => self.pod_identity(account, role)?,
            Source::Ecs => {
                let grant = self.store.ensure_container(&self.role(role)?)?;
                let url = format!("{}/v2/credentials/{}", self.endpoint()?, grant.id);
                vec![
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Zeroizing::new(url)),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", grant.token.clone()),
                ]
            }
            Source::Imds => vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.metadata(role)?)],
            Source::Sso { user } => self.sso(user, role)?,
        };
        if !matches!(source, Source::Sso { .. }) {
            // A person's own files would come before all these.
            let empty = plain(self.directory("")?.join("empty"));
            write_atomically(empty.as_str().as_ref(), b"", 0o600, None)?;
            variables.extend(
                ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]
                    .map(|name| (name, empty.clone())),
            );
        }
        Ok(variables)
    }

    /// The endpoint is named once more for STS, and below for SSO: the SDK for Go does not look at `AWS_ENDPOINT_URL` before it has
    /// its credentials.
    fn irsa(&self, account: Account<'_>, role: Option<&str>) -> Result<Vec<Variable>, LocalError> {
        let Account { namespace, name } = account;
        let role = self.role(role)?;
        self.store.ensure_service_account(namespace, name, None)?;
        let file = self.projections().ensure(namespace, name, STS_AUDIENCE)?;
        Ok(vec![
            ("AWS_ROLE_ARN", Zeroizing::new(role)),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", plain(file)),
            // Of the form that STS wants, which the names of pods are but for their length.
            ("AWS_ENDPOINT_URL_STS", Zeroizing::new(self.endpoint()?.to_owned())),
            ("AWS_ROLE_SESSION_NAME", Zeroizing::new(pod(name).chars().take(64).collect())),
        ])
    }

    fn pod_identity(
        &self,
        account: Account<'_>,
        role: Option<&str>,
    ) -> Result<Vec<Variable>, LocalError> {
        let Account { namespace, name } = account;
        let associated = self
            .store
            .state()?
            .service_accounts
            .get(&account_key(namespace, name))
            .and_then(|known| known.pod_identity_role.clone());
        let role = match (role, associated) {
            (None, Some(associated)) => associated,
            (role, _) => self.role(role)?,
        };
        self.store.ensure_service_account(namespace, name, Some(&role))?;
        let file = self.projections().ensure(namespace, name, POD_IDENTITY_AUDIENCE)?;
        let url = format!("{}/v1/credentials", self.endpoint()?);
        Ok(vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Zeroizing::new(url)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", plain(file)),
        ])
    }

    fn metadata(&self, role: Option<&str>) -> Result<Zeroizing<String>, LocalError> {
        if role.is_some() {
            return Err(LocalError::Unusable(
                "the role of a machine is its instance profile's: leave --role out".to_owned(),
            ));
        }
        let missing = || {
            LocalError::Unusable(
                "the stack has no metadata service: start it with --instance-profile NAME"
                    .to_owned(),
            )
        };
        self.state.metadata_endpoint.clone().map(Zeroizing::new).ok_or_else(missing)
    }

    /// All SDKs look for the sign-in in `$HOME/.aws/sso/cache` and nowhere else: the home is one of the stack's own.
    fn sso(&self, user: &str, role: Option<&str>) -> Result<Vec<Variable>, LocalError> {
        let profile = role.unwrap_or(DEFAULT_ROLE);
        let role = self.role(role)?;
        let home = self.directory("sso")?;
        let cache = self.directory("sso/.aws/sso/cache")?.join(format!("{START_URL_HASH}.json"));
        let held =
            read(&cache, MAX_SIGN_IN)?.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let held = held.as_ref().and_then(|held| held.get("accessToken")?.as_str());
        let request = PortalRequest { user, role: &role, token: held, lifetime: SIGN_IN };
        let access = self.store.ensure_portal_access(&request, SystemTime::now())?;
        let sign_in = Zeroizing::new(
            json!({
                "startUrl": START_URL,
                "region": self.state.region,
                "accessToken": access.token.as_str(),
                "expiresAt": rfc3339(instant(access.expires)),
            })
            .to_string(),
        );
        write_atomically(&cache, sign_in.as_bytes(), 0o600, None)?;
        let config = home.join(".aws/config");
        let profiles: String = access.roles.iter().map(|role| self.profile(role)).collect();
        write_atomically(&config, profiles.as_bytes(), 0o600, None)?;
        Ok(vec![
            ("HOME", plain(home)),
            ("AWS_CONFIG_FILE", plain(config)),
            ("AWS_PROFILE", Zeroizing::new(profile.to_owned())),
            ("AWS_ENDPOINT_URL_SSO", Zeroizing::new(self.endpoint()?.to_owned())),
        ])
    }

    /// A profile of the old form, without `sso_session`: every SDK reads it, and none wants to refresh it.
    fn profile(&self, role: &str) -> String {
        let (region, account, name) =
            (&self.state.region, &self.state.account, role.rsplit('/').next().unwrap_or_default());
        format!(
            "[profile {name}]\nsso_start_url = {START_URL}\nsso_region = {region}\nsso_account_id = {account}\nsso_role_name = {name}\n\
             region = {region}\n\n"
        )
    }

    /// The ARN of a role of that name.
    fn role(&self, name: Option<&str>) -> Result<String, LocalError> {
        let (name, account) = (name.unwrap_or(DEFAULT_ROLE), &self.state.account);
        let state = self.store.state()?;
        let missing = || StoreError::NotFound(format!("IAM role {name}: name another with --role"));
        let role = state.roles.get(&account_key(account.as_str(), name)).ok_or_else(missing)?;
        Ok(format!(
            "arn:{}:iam::{account}:role{}{}",
            self.state.region.partition(),
            role.path,
            role.name
        ))
    }

    fn projections(&self) -> Projections {
        Projections::new(self.layout, self.store.clone(), &self.state.issuer)
    }

    fn endpoint(&self) -> Result<&str, LocalError> {
        let missing = || {
            LocalError::Unusable("the stack's authority does not listen for AWS clients".to_owned())
        };
        self.state.aws_endpoint_url.as_deref().ok_or_else(missing)
    }

    /// A private directory below that of identities.
    fn directory(&self, below: &str) -> Result<PathBuf, LocalError> {
        let mut path = self.layout.identity();
        make_directory(&path, 0o700)?;
        for part in below.split('/').filter(|part| !part.is_empty()) {
            path.push(part);
            make_directory(&path, 0o700)?;
        }
        Ok(path)
    }
}

/// A path of the stack's, which is of plain characters.
fn plain(path: PathBuf) -> Zeroizing<String> {
    Zeroizing::new(path.display().to_string())
}

#[cfg(test)]
mod tests;
