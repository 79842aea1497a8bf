//! The whole authority as one service: its fronts, over one verifier.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::failure::Failure;
use countersign_core::name::Engine;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::daemon::{self, Askers, Reach};
use crate::http;
use crate::ldap::{self, Bind};
use crate::log::AccessLog;
use crate::store::{Store, StoreError};
use crate::verifier::{Login, Settings, Verifier};

/// Where the state lies and where the fronts listen.
#[derive(Debug)]
pub struct Config {
    /// The directory of state (`state/`) and log (`log/`), private to its owner.
    pub directory: PathBuf,
    /// The verifier's Unix socket.
    pub socket: PathBuf,
    /// Who may connect to the socket.
    pub reach: Reach,
    /// Who may ask on the socket.
    pub askers: Askers,
    /// Where the LDAP front listens.
    pub ldap: Option<SocketAddr>,
    /// Where the AWS API listens.
    pub http: Option<SocketAddr>,
    /// How the verifier decides.
    pub settings: Settings,
}

/// Why the authority did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log, or a front, can't be opened.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: String,
        /// The system's error.
        source: io::Error,
    },
}

/// A running authority. Dropping it ends it.
#[derive(Debug)]
pub struct Service {
    /// Where the LDAP front listens.
    pub ldap: Option<SocketAddr>,
    /// Where the AWS API listens.
    pub http: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

/// The directory of the state in the authority's.
#[must_use]
pub fn state_directory(directory: &Path) -> PathBuf {
    directory.join("state")
}

/// The directory of the log in the authority's.
#[must_use]
pub fn log_directory(directory: &Path) -> PathBuf {
    directory.join("log")
}

impl Service {
    /// Opens state and log, binds every front, and begins to answer.
    ///
    /// # Errors
    /// [`StartError`]: nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let failed = |what: String| move |source| StartError::Io { what, source };
        let store = Store::open(&state_directory(&config.directory))?;
        let log = AccessLog::open(&log_directory(&config.directory)).map_err(failed("the access log".to_owned()))?;
        let verifier = Arc::new(Verifier::new(store, log, config.settings));
        let mut tasks = JoinSet::new();

        let socket = daemon::bind(&config.socket, config.reach).map_err(failed(format!("the socket {}", config.socket.display())))?;
        tasks.spawn(daemon::serve(socket, Arc::clone(&verifier), config.askers));
        let ldap = match config.ldap {
            Some(address) => {
                let (listener, bound) = listen(address).await.map_err(failed(format!("the LDAP address {address}")))?;
                let verifier = Arc::clone(&verifier);
                tasks.spawn(ldap::serve(listener, move |bind| authenticate(bind, Arc::clone(&verifier))));
                Some(bound)
            }
            None => None,
        };
        let http = match config.http {
            Some(address) => {
                let (listener, bound) = listen(address).await.map_err(failed(format!("the HTTP address {address}")))?;
                tasks.spawn(async move {
                    if let Err(error) = http::serve(listener, verifier).await {
                        tracing::error!(%error, "the AWS API has ended");
                    }
                });
                Some(bound)
            }
            None => None,
        };
        Ok(Self { ldap, http, tasks })
    }

    /// Waits until a front ends, which none does by itself.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// A bind of the LDAP front as a login: PostgreSQL alone asks so, and does not say from where or how.
async fn authenticate(bind: Bind, verifier: Arc<Verifier>) -> Result<(), Failure> {
    let Bind { instance, user, token } = &bind;
    verifier.answer(&Login { engine: Engine::Postgres, instance, user, token, client: None, tls: None })
}
