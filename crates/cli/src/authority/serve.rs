//! `countersign authority serve`: runs the authority for database servers that it does not manage.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_authority::issuer::DEFAULT_URL;
use countersign_authority::throttle::RDS_LIMIT;
use countersign_authority::verifier::{ContextKeys, VerifierConfig};
use countersign_authority::verifier_socket::{AllowedPeers, SocketAccess};
use countersign_aws_api::server::{AuthorityServer, Config, ProofTrust, StartError, log_directory};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::InvalidName;
use countersign_core::proof::{StsEndpoint, TrustedSts};
use countersign_core::region::Partition;
use nix::unistd::{Group, User};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::store::{StateLocation, StoreArgument};
use crate::output;
use crate::process::{io_failure, runtime};

const EXAMPLES: &str = "Examples:
  countersign authority serve --allow-user postgres
  countersign authority serve --allow-user mysql --listen 127.0.0.1:4566
  countersign authority serve --allow-user postgres --sts aws
  countersign authority serve --allow-user postgres --store postgres://authority@db.example/state
  countersign authority serve --store ./state --socket ./verifier.sock --ldap 127.0.0.1:3890
For a systemd service see docs/self-managed.md.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: StoreArgument,
    /// Unix socket on which database servers query the verifier [default:
    /// /run/countersign/verifier.sock for root, otherwise verifier.sock in
    /// $XDG_RUNTIME_DIR/countersign]
    #[arg(long, value_name = "PATH", env = "COUNTERSIGN_SOCKET")]
    socket: Option<PathBuf>,
    /// Allow only members of this system group to connect to the socket
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,
    /// Allow database servers of this system user to query the verifier, besides your own and
    /// root's
    #[arg(long, value_name = "NAME")]
    allow_user: Vec<String>,
    /// Serve AWS's API on this address without TLS: issued credentials are sent in clear text
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Serve LDAP binds on this address without TLS: tokens are sent in clear text
    #[arg(long, value_name = "ADDRESS:PORT")]
    ldap: Option<SocketAddr>,
    /// Directory of the log [default: the directory of the state]
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Accept proofs of identity (`countersign token --proof sts`) and verify them with this STS:
    /// `aws`, another partition (`aws-cn`, `aws-us-gov`, …), `own` for the one at --listen, or a
    /// URL
    #[arg(long, value_name = "STS")]
    sts: Option<Sts>,
    /// URL of the OpenID Connect issuer of service account tokens
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    issuer: String,
    /// Maximum number of logins per second to one instance; 0 disables the limit
    #[arg(long, visible_alias = "limit", value_name = "NUMBER", default_value_t = RDS_LIMIT.get())]
    max_logins_per_second: u32,
    /// Provide aws:SourceIp to policies, which RDS does not; only servers that use PAM send it
    #[arg(long)]
    source_conditions: bool,
}

/// `--sts`.
#[derive(Debug, Clone)]
enum Sts {
    Own,
    Of(Partition),
    At(StsEndpoint),
}

impl std::str::FromStr for Sts {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "own" => Ok(Self::Own),
            url if url.contains("://") => StsEndpoint::configured(url).map(Self::At),
            partition => partition.parse().map(Self::Of),
        }
    }
}

impl Sts {
    fn resolve(self, listen: Option<SocketAddr>) -> Result<ProofTrust, Failure> {
        match self {
            Self::Of(partition) => Ok(ProofTrust::From(TrustedSts::aws(partition))),
            Self::At(endpoint) => {
                Ok(ProofTrust::From(TrustedSts::configured(Partition::Aws, endpoint)))
            }
            Self::Own if listen.is_some() => Ok(ProofTrust::Own(Partition::Aws)),
            Self::Own => Err(Failure::new(
                Class::Configuration,
                "cannot use --sts own: the AWS API is not served; add --listen",
            )),
        }
    }
}

/// Serves until a signal terminates the process.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    output::log_to_stderr();
    let config = config(arguments)?;
    runtime()?.block_on(serve(config))
}

fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let socket = socket(arguments.socket.as_deref())?;
    if let Some(directory) = socket.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.map_err(|error| io_failure(&directory.display().to_string(), &error))?;
    }
    let reach = match &arguments.socket_group {
        Some(name) => SocketAccess::Group(group(name)?),
        None if arguments.allow_user.is_empty() => SocketAccess::Owner,
        None => SocketAccess::Everyone,
    };
    let StateLocation { store, directory } = arguments.store.location()?;
    Ok(Config {
        directory: arguments.log.clone().unwrap_or(directory),
        store,
        proofs: arguments
            .sts
            .clone()
            .map_or(Ok(ProofTrust::None), |sts| sts.resolve(arguments.listen))?,
        socket,
        socket_access: reach,
        allowed_peers: AllowedPeers::new(
            arguments.allow_user.iter().map(|name| user(name)).collect::<Result<Vec<_>, _>>()?,
        ),
        ldap: arguments.ldap,
        http: arguments.listen,
        metadata: None,
        issuer: arguments.issuer.clone(),
        verifier: VerifierConfig {
            limit: NonZeroU32::new(arguments.max_logins_per_second),
            context_keys: if arguments.source_conditions {
                ContextKeys::WithSourceIp
            } else {
                ContextKeys::AsRds
            },
        },
        servers: None,
        ca: None,
    })
}

fn socket(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let runtime =
        || std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = match given {
        Some(path) => path.to_owned(),
        None if rustix::process::geteuid().is_root() => {
            PathBuf::from("/run/countersign/verifier.sock")
        }
        None => runtime().map(|directory| directory.join("countersign/verifier.sock")).ok_or_else(
            || {
                Failure::new(
                    Class::Configuration,
                    "cannot choose a socket: XDG_RUNTIME_DIR is not set; pass --socket",
                )
            },
        )?,
    };
    std::path::absolute(&chosen).map_err(|error| io_failure(&chosen.display().to_string(), &error))
}

fn user(name: &str) -> Result<u32, Failure> {
    let found = User::from_name(name).map_err(|error| unknown("user", name, &error.to_string()))?;
    found
        .map(|user| user.uid.as_raw())
        .ok_or_else(|| unknown("user", name, "no such user; correct --allow-user"))
}

fn group(name: &str) -> Result<u32, Failure> {
    let found =
        Group::from_name(name).map_err(|error| unknown("group", name, &error.to_string()))?;
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| unknown("group", name, "no such group; correct --socket-group"))
}

fn unknown(what: &str, name: &str, why: &str) -> Failure {
    Failure::new(Class::Configuration, format!("cannot find the system {what} {name:?}: {why}"))
}

async fn serve(config: Config) -> Result<ExitCode, Failure> {
    // Registered before anything is ready, so that no signal is lost.
    let [mut terminate, mut interrupt, mut hangup] = [
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::hangup())?,
    ];
    let (socket, log) = (config.socket.clone(), log_directory(&config.directory));
    let mut service = AuthorityServer::start(config).await.map_err(|error| failure(&error))?;
    let http =
        service.http.map(|address| format!(", AWS's API at http://{address}")).unwrap_or_default();
    let ldap = service.ldap.map(|address| format!(", LDAP at {address}")).unwrap_or_default();
    // On standard error: a closed standard output must not terminate the authority.
    output::note(&format!(
        "ready: verifier socket {}{http}{ldap}, log in {}",
        socket.display(),
        log.display()
    ));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = service.ended() => return Err(Failure::new(Class::Internal, "a listener of the \
         authority ended unexpectedly")),
    }
    output::note("stopping: logins are denied until the authority runs again");
    Ok(ExitCode::SUCCESS)
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| {
        Failure::new(Class::Internal, format!("cannot register signal handlers: {error}"))
    })
}

fn failure(error: &StartError) -> Failure {
    Failure::new(Class::Configuration, error.to_string())
}
