//! The authority as one process: all listeners over one verifier.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_authority::ldap::{self, Bind};
use countersign_authority::log::AccessLog;
use countersign_authority::oidc::fetch::Fetcher;
use countersign_authority::servers::Servers;
use countersign_authority::store::{Store, StoreError, StoreLocation};
use countersign_authority::sts_verifier::StsVerifier;
use countersign_authority::verifier::{LoginRequest, Verifier, VerifierConfig};
use countersign_authority::verifier_socket::{self, AllowedPeers, SocketAccess};
use countersign_core::failure::Failure;
use countersign_core::name::Engine;
use countersign_core::proof::{StsEndpoint, TrustedSts};
use countersign_core::region::Partition;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::http;
use crate::metadata::imds::Machine;
use crate::rds::recovery::recover;

/// Configuration of an authority.
#[derive(Debug)]
pub struct Config {
    /// Directory of the log (`log/`), private to its owner.
    pub directory: PathBuf,
    /// Location of the store, usually `state/` in the directory.
    pub store: StoreLocation,
    /// Path of the verifier's Unix socket.
    pub socket: PathBuf,
    /// Users that may connect to the socket.
    pub socket_access: SocketAccess,
    /// Users whose requests on the socket are answered.
    pub allowed_peers: AllowedPeers,
    /// Address of the LDAP listener.
    pub ldap: Option<SocketAddr>,
    /// Address of the AWS API.
    pub http: Option<SocketAddr>,
    /// Address of a machine's metadata service, and the machine. Every process that reaches the
    /// address gets the credentials of the machine's role, so it must be requested explicitly.
    pub metadata: Option<(SocketAddr, Machine)>,
    /// URL of the OpenID Connect issuer: [`countersign_authority::issuer::DEFAULT_URL`], or a URL
    /// that other services can reach.
    pub issuer: String,
    /// Configuration of the verifier.
    pub verifier: VerifierConfig,
    /// STS that verifies presigned requests.
    pub proofs: ProofTrust,
    /// Database servers of the RDS API.
    pub servers: Option<Arc<dyn Servers>>,
    /// Path of the CA certificate (PEM) that signs those servers' certificates.
    pub ca: Option<PathBuf>,
}

/// Source of the STS that verifies presigned requests which a login sends in place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofTrust {
    /// No STS: such logins are denied.
    None,
    /// The authority's own, at the address of its AWS API.
    Own(Partition),
    /// AWS's, or a configured one.
    From(TrustedSts),
}

/// Reason why the authority did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log or a listener cannot be opened.
    #[error("cannot {action}: {source}")]
    Io {
        /// Action that failed.
        action: String,
        /// Error of the system.
        source: io::Error,
    },
}

impl StartError {
    fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// A running authority. Dropping it closes all listeners.
#[derive(Debug)]
pub struct AuthorityServer {
    /// Address of the LDAP listener.
    pub ldap: Option<SocketAddr>,
    /// Address of the AWS API.
    pub http: Option<SocketAddr>,
    /// Address of the metadata service.
    pub metadata: Option<SocketAddr>,
    /// Database servers of the RDS API.
    pub servers: Option<Arc<dyn Servers>>,
    tasks: JoinSet<()>,
}

/// Returns the directory of the store in the authority's directory.
#[must_use]
pub fn state_directory(directory: &Path) -> PathBuf {
    directory.join("state")
}

/// Returns the directory of the log in the authority's directory.
#[must_use]
pub fn log_directory(directory: &Path) -> PathBuf {
    directory.join("log")
}

impl AuthorityServer {
    /// Opens the store and the log, binds all listeners, and starts to serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        raise_descriptor_limit();
        let store = Store::open_at(&config.store)?;
        let log = AccessLog::open(&log_directory(&config.directory))
            .map_err(StartError::io("open the access log"))?;
        let http = listen("AWS API", config.http).await?;
        let fetcher = Fetcher::new(&[]).map_err(|error| {
            StartError::io("read the system's root certificates")(io::Error::other(error))
        })?;
        let sts = trusted_sts(&config.proofs, http.as_ref().map(|(_, address)| *address))
            .map_err(StartError::io("configure the STS that verifies presigned requests"))?;
        let sts = sts.map(|sts| StsVerifier::new(fetcher.clone(), sts));
        let verifier = Arc::new(Verifier::new(store, log, config.verifier).with_sts_verifier(sts));

        let mut tasks = JoinSet::new();
        let socket = verifier_socket::bind(&config.socket, config.socket_access)
            .map_err(StartError::io(format!("listen on {}", config.socket.display())))?;
        tasks.spawn(verifier_socket::serve(socket, Arc::clone(&verifier), config.allowed_peers));
        let ldap = listen("LDAP", config.ldap).await?.map(|(listener, address)| {
            let verifier = Arc::clone(&verifier);
            let authenticate = move |bind| authenticate(bind, Arc::clone(&verifier));
            tasks.spawn(ldap::serve(listener, authenticate));
            address
        });
        let api = Api::new(verifier, fetcher, &config.issuer);
        let api =
            Arc::new(with_servers(api, config.servers.as_ref(), &config.directory, config.ca));
        let http = http.map(|(listener, address)| {
            tasks.spawn(http::serve(listener, Arc::clone(&api)));
            address
        });
        let metadata = match config.metadata {
            None => None,
            Some((address, machine)) => {
                listen("metadata", Some(address)).await?.map(|(listener, address)| {
                    tasks.spawn(http::serve_metadata(listener, api, machine));
                    address
                })
            }
        };
        Ok(Self { ldap, http, metadata, servers: config.servers, tasks })
    }

    /// Waits until a listener ends, which none does unless its task panics.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// Adds the servers to the API, and resumes interrupted transitions.
fn with_servers(
    api: Api,
    servers: Option<&Arc<dyn Servers>>,
    directory: &Path,
    ca: Option<PathBuf>,
) -> Api {
    let Some(servers) = servers else { return api };
    let ca = ca.and_then(|path| std::fs::read_to_string(path).ok());
    let api = api.running(Arc::clone(servers), authority_name(directory), ca.as_deref());
    recover(&api.jobs);
    api
}

/// Returns a name that distinguishes the authorities over one store: host and directory.
fn authority_name(directory: &Path) -> String {
    let system = rustix::system::uname();
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    format!("{}:{}", system.nodename().to_string_lossy(), directory.display())
}

/// Raises the limit of open files to the maximum: the listeners may have more connections than the
/// default of 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// Returns the trusted STS; `own` is the address of the authority's AWS API.
fn trusted_sts(proofs: &ProofTrust, own: Option<SocketAddr>) -> io::Result<Option<TrustedSts>> {
    match (proofs, own) {
        (ProofTrust::None, _) => Ok(None),
        (ProofTrust::From(sts), _) => Ok(Some(sts.clone())),
        (ProofTrust::Own(partition), Some(address)) => {
            let endpoint =
                StsEndpoint::configured(&format!("http://{address}")).map_err(io::Error::other)?;
            Ok(Some(TrustedSts::configured(*partition, endpoint)))
        }
        (ProofTrust::Own(_), None) => Err(io::Error::other("the AWS API does not listen")),
    }
}

async fn listen(
    name: &str,
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok(Some((listener, bound)))
    };
    bind.await.map_err(StartError::io(format!("listen on {address} ({name})")))
}

/// Verifies the login of an LDAP bind. Only PostgreSQL uses LDAP; it does not send the client's
/// address or TLS state.
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
