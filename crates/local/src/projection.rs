//! Service account tokens in files, as the kubelet projects them into pods.
//!
//! The stack replaces them before they expire. A token's file is
//! `identity/serviceaccounts/NAMESPACE/NAME/AUDIENCE/token`: the path is the only record of it, so
//! the next start finds it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use countersign_authority::issuer::{SigningKeyError, TokenProjection};
use countersign_authority::oidc::jwt;
use countersign_authority::store::{Store, StoreError};
use countersign_aws_api::server::state_directory;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::error::at;
use crate::layout::{make_directory, write_atomically};
use crate::{Layout, LocalError};

/// Lifetime of a token: the kubelet's default.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Age at which a token is replaced: "older than 80 percent of its total TTL".
/// Source: "Configure Service Accounts for Pods", token volume projection, in Kubernetes'
/// documentation.
const RENEWAL: Duration = Duration::from_secs(LIFETIME.as_secs() * 4 / 5);

/// Interval between checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Returns the name of a service account's only pod, as a StatefulSet names its first one.
pub(crate) fn pod(account: &str) -> String {
    format!("{account}-0")
}

/// Writes the tokens of a stack's service accounts.
#[derive(Debug)]
pub(crate) struct Projections {
    root: PathBuf,
    store: Store,
    issuer: String,
}

impl Projections {
    pub(crate) fn new(layout: &Layout, store: Store, issuer: &str) -> Self {
        Self { root: layout.identity().join("serviceaccounts"), store, issuer: issuer.to_owned() }
    }

    /// Returns the file with a service account's token for `audience`, writing it if it is due.
    pub(crate) fn ensure(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
    ) -> Result<PathBuf, LocalError> {
        let directory = self.root.join(namespace).join(name).join(audience);
        let identity = self.root.parent().unwrap_or(&self.root);
        for directory in directory
            .ancestors()
            .take_while(|directory| directory.starts_with(identity))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            make_directory(directory, 0o700)?;
        }
        let (file, now) = (directory.join("token"), SystemTime::now());
        if is_due(&file, now) {
            self.write(&file, now)?;
        }
        Ok(file)
    }

    /// Replaces the tokens that are due, or all of them. An error is logged and does not stop the
    /// rest.
    fn renew(&self, all: bool, now: SystemTime) {
        let children = |directory: &PathBuf| {
            fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect::<Vec<_>>()
        };
        let accounts = children(&self.root).into_iter().flat_map(|namespace| children(&namespace));
        for file in
            accounts.flat_map(|account| children(&account)).map(|audience| audience.join("token"))
        {
            if !file.exists() || !(all || is_due(&file, now)) {
                continue;
            }
            match self.write(&file, now) {
                Ok(()) => {
                    tracing::debug!(file = %file.display(), "service account token replaced")
                }
                // The service account was deleted.
                Err(LocalError::Store(StoreError::NotFound(_))) => drop(fs::remove_file(&file)),
                Err(error) => {
                    tracing::error!(%error, file = %file.display(), "cannot replace a service \
                     account token")
                }
            }
        }
    }

    fn write(&self, file: &Path, now: SystemTime) -> Result<(), LocalError> {
        let mut names = file.ancestors().skip(1).filter_map(|part| part.file_name()?.to_str());
        let (Some(audience), Some(name), Some(namespace)) =
            (names.next(), names.next(), names.next())
        else {
            return Err(LocalError::Unusable(format!(
                "cannot write a token to {}: the path does not name a service account",
                file.display()
            )));
        };
        let projection = TokenProjection {
            issuer: &self.issuer,
            namespace,
            name,
            pod: &pod(name),
            audience,
            lifetime: LIFETIME,
        };
        let token = projection.issue(&self.store, now).map_err(|error| match error {
            SigningKeyError::Store(error) => LocalError::Store(error),
            error => LocalError::Unusable(error.to_string()),
        })?;
        write_atomically(file, token.as_bytes(), 0o600, None)
    }
}

/// Returns true if a token is to be replaced, or cannot be read.
fn is_due(file: &Path, now: SystemTime) -> bool {
    let Ok(token) = fs::read_to_string(file).map(Zeroizing::new) else {
        return true;
    };
    let expires = jwt::parse(&token).ok().and_then(|token| token.claim("exp")?.as_u64());
    expires.is_none_or(|end| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(end) <= now + (LIFETIME - RENEWAL)
    })
}

/// Background task that refreshes the tokens until it is dropped.
#[derive(Debug)]
pub(crate) struct RefreshTask(JoinHandle<()>);

impl RefreshTask {
    /// Replaces every token, because the issuer's URL may have changed, then those that are due.
    pub(crate) fn start(layout: &Layout, issuer: &str) -> Result<Self, LocalError> {
        let store = Store::open(&state_directory(&layout.authority()))?;
        let projections = std::sync::Arc::new(Projections::new(layout, store, issuer));
        projections.renew(true, SystemTime::now());
        Ok(Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                let projections = std::sync::Arc::clone(&projections);
                if let Err(error) =
                    tokio::task::spawn_blocking(move || projections.renew(false, SystemTime::now()))
                        .await
                {
                    tracing::error!(%error, "cannot check the service account tokens");
                }
            }
        })))
    }
}

impl Drop for RefreshTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads at most `most` bytes of a file. `None` if it does not exist.
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Zeroizing<String>>, LocalError> {
    use std::io::Read;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(most).read_to_string(&mut text).map_err(at(path))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
