//! The whole authority as one service: its fronts, over one verifier.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::failure::Failure;
use countersign_core::name::Engine;
use countersign_core::proof::{StsEndpoint, TrustedSts};
use countersign_core::region::Partition;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::{Api, Machine};
use countersign_authority::ldap::{self, Bind};
use countersign_authority::log::AccessLog;
use countersign_authority::oidc::fetch::Fetcher;
use countersign_authority::servers::Servers;
use countersign_authority::store::{Location, Store, StoreError};
use countersign_authority::sts_verifier::StsVerifier;
use countersign_authority::verifier::{LoginRequest, Verifier, VerifierConfig};
use countersign_authority::verifier_socket::{self, AllowedPeers, SocketAccess};

/// Where the state lies and where the fronts listen.
#[derive(Debug)]
pub struct Config {
    /// The directory of the log (`log/`), private to its owner.
    pub directory: PathBuf,
    /// Where the state lies: usually in `state/` of the directory.
    pub store: Location,
    /// The verifier's Unix socket.
    pub socket: PathBuf,
    /// Who may connect to the socket.
    pub reach: SocketAccess,
    /// Who may ask on the socket.
    pub askers: AllowedPeers,
    /// Where the LDAP front listens.
    pub ldap: Option<SocketAddr>,
    /// Where the AWS API listens.
    pub http: Option<SocketAddr>,
    /// Where a machine finds its metadata service, and which machine it is. Whoever reaches that address gets the credentials of
    /// the machine's role: it is off unless somebody asks for it.
    pub metadata: Option<(SocketAddr, Machine)>,
    /// How the OpenID Connect issuer calls itself: [`countersign_authority::issuer::USUAL_URL`], or a URL that others reach.
    pub issuer: String,
    /// How the verifier decides.
    pub settings: VerifierConfig,
    /// Whose word on proofs is taken.
    pub proofs: Proofs,
    /// What runs database servers for the RDS API.
    pub servers: Option<Arc<dyn Servers>>,
    /// The certificate of the CA that signs those servers' certificates, as PEM.
    pub ca: Option<PathBuf>,
}

/// Which STS may say who made a proof that a login brings in place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proofs {
    /// None: proofs are refused.
    None,
    /// The authority's own, where the AWS API listens.
    Own(Partition),
    /// AWS's, or one that was configured.
    From(TrustedSts),
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
pub struct AuthorityServer {
    /// Where the LDAP front listens.
    pub ldap: Option<SocketAddr>,
    /// Where the AWS API listens.
    pub http: Option<SocketAddr>,
    /// Where the metadata service listens.
    pub metadata: Option<SocketAddr>,
    /// What runs database servers for the RDS API.
    pub servers: Option<Arc<dyn Servers>>,
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

impl AuthorityServer {
    /// Opens state and log, binds every front, and begins to answer.
    ///
    /// # Errors
    /// [`StartError`]: nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        raise_descriptor_limit();
        let failed = |what: String| move |source| StartError::Io { what, source };
        let store = Store::open_at(&config.store)?;
        let log = AccessLog::open(&log_directory(&config.directory))
            .map_err(failed("the access log".to_owned()))?;
        let http = match config.http {
            Some(address) => {
                Some(listen(address).await.map_err(failed(format!("the HTTP address {address}")))?)
            }
            None => None,
        };
        let roots =
            |error| failed("the system's root certificates".to_owned())(io::Error::other(error));
        let fetcher = Fetcher::new(&[]).map_err(roots)?;
        let proofs = trusted_sts(&config.proofs, http.as_ref().map(|(_, bound)| *bound))
            .map_err(failed("the STS of proofs".to_owned()))?;
        let proofs = proofs.map(|sts| StsVerifier::new(fetcher.clone(), sts));
        let verifier =
            Arc::new(Verifier::new(store, log, config.settings).with_sts_verifier(proofs));
        let mut tasks = JoinSet::new();

        let socket = verifier_socket::bind(&config.socket, config.reach)
            .map_err(failed(format!("the socket {}", config.socket.display())))?;
        tasks.spawn(verifier_socket::serve(socket, Arc::clone(&verifier), config.askers));
        let ldap = match config.ldap {
            Some(address) => {
                let (listener, bound) =
                    listen(address).await.map_err(failed(format!("the LDAP address {address}")))?;
                let verifier = Arc::clone(&verifier);
                tasks.spawn(ldap::serve(listener, move |bind| {
                    authenticate(bind, Arc::clone(&verifier))
                }));
                Some(bound)
            }
            None => None,
        };
        let api = Api::new(verifier, fetcher, &config.issuer);
        let ca = config.ca.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let api = Arc::new(match &config.servers {
            Some(servers) => {
                let api =
                    api.running(Arc::clone(servers), own_name(&config.directory), ca.as_deref());
                crate::rds::recovery::recover(&api.jobs);
                api
            }
            None => api,
        });
        let http = match http {
            Some((listener, bound)) => {
                let api = Arc::clone(&api);
                tasks.spawn(crate::http::serve(listener, api));
                Some(bound)
            }
            None => None,
        };
        let metadata = match config.metadata {
            Some((address, machine)) => {
                let (listener, bound) = listen(address)
                    .await
                    .map_err(failed(format!("the metadata address {address}")))?;
                tasks.spawn(crate::http::serve_metadata(listener, api, machine));
                Some(bound)
            }
            None => None,
        };
        Ok(Self { ldap, http, metadata, servers: config.servers, tasks })
    }

    /// Waits until a front ends, which none does by itself.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// What tells the authorities over one store apart: the machine and the directory.
fn own_name(directory: &Path) -> String {
    let system = rustix::system::uname();
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    format!("{}:{}", system.nodename().to_string_lossy(), directory.display())
}

/// Lets the process open as many files as the system allows it: the fronts may have more connections than the usual 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The STS that is trusted, now that it is known where the authority's own listens.
fn trusted_sts(proofs: &Proofs, own: Option<SocketAddr>) -> io::Result<Option<TrustedSts>> {
    match (proofs, own) {
        (Proofs::None, _) => Ok(None),
        (Proofs::From(sts), _) => Ok(Some(sts.clone())),
        (Proofs::Own(partition), Some(address)) => {
            let endpoint =
                StsEndpoint::configured(&format!("http://{address}")).map_err(io::Error::other)?;
            Ok(Some(TrustedSts::configured(*partition, endpoint)))
        }
        (Proofs::Own(_), None) => Err(io::Error::other("the AWS API does not listen")),
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
    verifier
        .authenticate(&LoginRequest {
            engine: Engine::Postgres,
            instance,
            user,
            token,
            client: None,
            tls: None,
        })
        .await
}
