//! Sources of AWS credentials as machines, pods and people find them: the environment variables
//! that each platform sets, and the files that they name.

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

/// Role that a stack creates for these sources.
pub const DEFAULT_ROLE: &str = "app-pod";

/// Start URL of the sign-in. It is never contacted: the sign-in is in the SDKs' cache already.
const START_URL: &str = "https://sso.countersign.internal/start";

/// SHA-1 of [`START_URL`]: the SDKs name the cache file after it.
const START_URL_HASH: &str = "37079d3b241da592e4b80ec2b927c4adc0ee8ed4";

/// Lifetime of a sign-in: eight hours, as in "Session durations" of the IAM Identity Center guide.
const SIGN_IN: Duration = Duration::from_secs(8 * 3600);

/// Maximum size of a cached sign-in in bytes.
const MAX_SIGN_IN: u64 = 4096;

/// A source of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// IAM roles for service accounts: a pod's token for STS.
    Irsa(Account<'a>),
    /// EKS Pod Identity: a pod's token for the agent.
    PodIdentity(Account<'a>),
    /// ECS container credentials endpoint.
    Ecs,
    /// EC2 instance metadata service.
    Imds,
    /// IAM Identity Center sign-in of a user.
    Sso {
        /// User name.
        user: &'a str,
    },
}

/// A Kubernetes service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// Name of an environment variable and its value, which may be a secret.
pub type Variable = (&'static str, Zeroizing<String>);

/// Prepares the sources of a running stack.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    layout: &'a Layout,
    state: &'a State,
    store: &'a Store,
}

impl<'a> Sources<'a> {
    /// Returns the sources of the stack that `state` describes.
    #[must_use]
    pub const fn new(layout: &'a Layout, state: &'a State, store: &'a Store) -> Self {
        Self { layout, state, store }
    }

    /// Returns the environment variables of a process that takes its credentials from `source`.
    ///
    /// `role` names the role; `None` selects the one associated with the service account, or
    /// [`DEFAULT_ROLE`]. Files that the variables name are written.
    ///
    /// # Errors
    /// [`LocalError::Store`] for an unknown role, [`LocalError::Unusable`] for a source that the
    /// stack does not have.
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
            // The user's own files would take precedence over these sources.
            let empty = plain(self.directory("")?.join("empty"));
            write_atomically(empty.as_str().as_ref(), b"", 0o600, None)?;
            variables.extend(
                ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]
                    .map(|name| (name, empty.clone())),
            );
        }
        Ok(variables)
    }

    /// `AWS_ENDPOINT_URL_STS` is set too: the SDK for Go reads `AWS_ENDPOINT_URL` only after it has
    /// credentials. The same holds for SSO below.
    fn irsa(&self, account: Account<'_>, role: Option<&str>) -> Result<Vec<Variable>, LocalError> {
        let Account { namespace, name } = account;
        let role = self.role(role)?;
        self.store.ensure_service_account(namespace, name, None)?;
        let file = self.projections().ensure(namespace, name, STS_AUDIENCE)?;
        Ok(vec![
            ("AWS_ROLE_ARN", Zeroizing::new(role)),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", plain(file)),
            // A role session name has at most 64 characters; a pod's name otherwise fits.
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
                "cannot use --role: a machine's role is that of its instance profile; omit --role"
                    .to_owned(),
            ));
        }
        let missing = || {
            LocalError::Unusable(
                "cannot use instance metadata: the stack has no metadata service; start it with \
                 --instance-profile NAME"
                    .to_owned(),
            )
        };
        self.state.metadata_endpoint.clone().map(Zeroizing::new).ok_or_else(missing)
    }

    /// The SDKs read the sign-in only from `$HOME/.aws/sso/cache`, so HOME is a directory of the
    /// stack.
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

    /// Returns a profile without `sso_session`: every SDK reads it, and none tries to refresh it.
    fn profile(&self, role: &str) -> String {
        let (region, account, name) =
            (&self.state.region, &self.state.account, role.rsplit('/').next().unwrap_or_default());
        format!(
            "[profile {name}]\nsso_start_url = {START_URL}\nsso_region = {region}\nsso_account_id \
             = {account}\nsso_role_name = {name}\n\
             region = {region}\n\n"
        )
    }

    /// Returns the ARN of a role.
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
            LocalError::Unusable(
                "cannot use the AWS API: the stack's authority does not listen for AWS clients"
                    .to_owned(),
            )
        };
        self.state.aws_endpoint_url.as_deref().ok_or_else(missing)
    }

    /// Creates a private directory below the identity directory.
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

/// Formats a path of the stack, which has only plain characters (see [`Layout::new`]).
fn plain(path: PathBuf) -> Zeroizing<String> {
    Zeroizing::new(path.display().to_string())
}

#[cfg(test)]
mod tests;
