//! A local stack in one directory: the authority and its database servers, started and stopped.

pub mod attached;
mod builder;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_authority::log::DECISIONS;
use countersign_authority::servers::Servers;
use countersign_authority::store::{Store, StoreLocation};
use countersign_authority::verifier_socket::{AllowedPeers, SocketAccess};
use countersign_aws_api::server::{
    AuthorityServer, Config, ProofTrust, log_directory, state_directory,
};
use countersign_core::name::Engine;
use nix::unistd::User;
use rustix::process::{Pid, Signal};

use crate::auth_backend::AuthBackend;
use crate::fleet::Fleet;
use crate::os_user::RunAs;
use crate::program::send;
use crate::projection::RefreshTask;
use crate::server::Server;
use crate::state::{CreatedBy, DesiredState, InstanceState, Lock, Phase, SkippedServer, State};
use crate::{Layout, LocalError, pam};

pub use crate::plan::{AuthPreference, Plan, ServerSpec};

use builder::Builder;

/// Longest time that a stack may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// A running stack.
///
/// Dropping it leaves the servers running, as killing the process does; [`Stack::down`] stops them.
#[derive(Debug)]
pub struct Stack {
    service: AuthorityServer,
    fleet: Arc<Fleet>,
    state: State,
    _refresh: RefreshTask,
    _lock: Lock,
}

impl Stack {
    /// Starts the authority and all servers.
    ///
    /// Servers that an earlier, killed stack left running are adopted together with their sessions.
    /// `progress` is called before each step.
    ///
    /// # Errors
    /// [`LocalError`], with the remedy. No server is left running.
    pub async fn up(
        plan: Plan,
        progress: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, LocalError> {
        let layout = plan.layout.clone();
        layout.create()?;
        let lock = Lock::try_take(&layout)?
            .ok_or_else(|| LocalError::AlreadyRunning(layout.root().to_owned()))?;
        let run_as = RunAs::choose()?;
        run_as.check_entry(layout.root())?;
        let before = State::read(&layout)?;
        let wanted = wanted(&plan, before.as_ref())?;
        attached::check_names(&layout, wanted.iter().map(|server| &server.instance))?;
        // Checked even if no PostgreSQL server is planned: the RDS API may create one later.
        let postgres = AuthBackend::choose(&plan)?;
        if wanted.iter().any(|server| server.engine == Engine::Postgres) {
            postgres.availability()?;
        }
        let config = authority_config(&plan, &layout, &run_as, &postgres)?;
        let state = initial_state(&plan);
        let fleet = Arc::new(Fleet::new(&plan, run_as, postgres, state)?);
        progress("starting the authority");
        let servers: Arc<dyn Servers> = Arc::<Fleet>::clone(&fleet);
        let service = AuthorityServer::start(Config { servers: Some(servers), ..config }).await?;
        fleet.update_in_memory(|state| {
            state.ldap = service.ldap;
            state.aws_endpoint_url = service.http.map(|address| format!("http://{address}"));
            state.metadata_endpoint = service.metadata.map(|address| format!("http://{address}"));
            state.instances = before
                .iter()
                .flat_map(|state| &state.instances)
                .filter(|known| is_kept(known))
                .cloned()
                .collect();
        });
        let refresh = RefreshTask::start(&layout, &plan.issuer)?;
        let builder = Builder {
            plan,
            wanted,
            fleet: Arc::clone(&fleet),
            before,
            progress: Box::new(progress),
        };
        let started = tokio::task::spawn_blocking(move || builder.start());
        let state = started.await.unwrap_or_else(|error| {
            // API calls that wait for the start would otherwise never end.
            fleet.close();
            Err(LocalError::Unusable(format!("cannot start the servers: {error}")))
        })?;
        Ok(Self { service, fleet, state, _refresh: refresh, _lock: lock })
    }

    /// Returns the state at the end of [`Stack::up`].
    ///
    /// [`State::read_running`] includes later changes by the RDS API.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the servers as the RDS API sees them.
    #[must_use]
    pub fn servers(&self) -> Arc<dyn Servers> {
        Arc::<Fleet>::clone(&self.fleet)
    }

    /// Waits until the authority ends. It does not end on its own.
    pub async fn ended(&mut self) {
        self.service.ended().await;
    }

    /// Stops the servers, including those being created, then the authority.
    ///
    /// # Errors
    /// The error of the first server that does not stop. The others are stopped all the same.
    pub async fn down(self) -> Result<(), LocalError> {
        let Self { fleet, service, _lock, .. } = self;
        let stop = move || {
            fleet.close();
            fleet.stop_all()
        };
        let stopped = tokio::task::spawn_blocking(stop);
        let stopped = stopped
            .await
            .map_err(|error| LocalError::Unusable(format!("cannot stop the servers: {error}")))?;
        drop(service);
        stopped
    }
}

/// Result of [`down`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownResult {
    /// A stack, or its remains, were stopped.
    Stopped,
    /// The directory holds no stack.
    NothingFound,
}

/// Stops everything that runs in a directory, including the remains of a killed stack.
///
/// With `wipe`, also deletes the stack's files.
///
/// # Errors
/// [`LocalError`] if a server or the stack's process does not stop, or a file cannot be deleted.
pub fn down(layout: &Layout, unpacked: &Path, wipe: bool) -> Result<DownResult, LocalError> {
    if !layout.lock_file().exists() {
        return Ok(DownResult::NothingFound);
    }
    let _lock = match Lock::try_take(layout)? {
        Some(lock) => lock,
        None => stop_holder(layout)?,
    };
    let run_as = RunAs::choose()?;
    // The directories decide, not the state file: a killed stack may not have written it.
    all(layout
        .instances()?
        .iter()
        .map(|instance| Server::stop_found(layout, instance, unpacked, run_as.clone())))?;
    if wipe {
        let store = Store::open(&state_directory(&layout.authority()))?;
        for name in store.instance_names()? {
            store.instance(&name)?.map_or(Ok(()), |instance| pam::remove(&instance.resource_id))?;
        }
        drop(store);
        // The store may lack instances that the RDS API was creating or deleting.
        let made = State::read(layout)?.map(|state| state.instances).unwrap_or_default();
        made.iter().try_for_each(|instance| pam::remove(&instance.resource_id))?;
        layout.wipe()?;
    }
    Ok(DownResult::Stopped)
}

/// Stops every server, and returns the first error.
fn all(stopping: impl Iterator<Item = Result<(), LocalError>>) -> Result<(), LocalError> {
    let stopped: Vec<Result<(), LocalError>> = stopping.collect();
    stopped.into_iter().collect()
}

/// Sends SIGTERM to the process that holds the lock, and waits for the lock.
fn stop_holder(layout: &Layout) -> Result<Lock, LocalError> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    let mut asked: Option<Pid> = None;
    while Instant::now() < deadline {
        if let Some(lock) = Lock::try_take(layout)? {
            return Ok(lock);
        }
        let holder = Lock::holder(layout)?;
        if holder.is_some() && holder != asked {
            asked = holder.filter(|pid| {
                send(*pid, Signal::TERM, || {
                    Lock::holder(layout).is_ok_and(|holder| holder == Some(*pid))
                })
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (seconds, output) = (STOP_TIMEOUT.as_secs(), layout.output_file());
    Err(LocalError::TimedOut(format!(
        "cannot stop the stack: its process still runs after {seconds} s; see {}",
        output.display()
    )))
}

/// Resolves names of system users to their ids.
fn allowed(names: &[String]) -> Result<Vec<u32>, LocalError> {
    let uid = |name: &String| match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(LocalError::Unusable(format!(
            "cannot allow the system user {name:?}: no such user; correct --allow-user"
        ))),
        Err(error) => {
            Err(LocalError::Unusable(format!("cannot look up the system user {name:?}: {error}")))
        }
    };
    names.iter().map(uid).collect()
}

/// Returns the authority's configuration, without database servers.
fn authority_config(
    plan: &Plan,
    layout: &Layout,
    run_as: &RunAs,
    postgres: &AuthBackend,
) -> Result<Config, LocalError> {
    let (uid, group) = run_as.ids();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let uses_ldap = matches!(postgres, AuthBackend::Ldap(_));
    Ok(Config {
        directory: layout.authority(),
        store: StoreLocation::Directory(state_directory(&layout.authority())),
        socket: layout.socket(),
        socket_access: if plan.allowed_users.is_empty() {
            group.map_or(SocketAccess::Owner, SocketAccess::Group)
        } else {
            SocketAccess::Everyone
        },
        allowed_peers: AllowedPeers::new(allowed(&plan.allowed_users)?.into_iter().chain([uid])),
        ldap: uses_ldap.then(|| SocketAddr::new(plan.ldap_address, 0)),
        http: Some(loopback),
        metadata: plan.machine.clone().map(|machine| (loopback, machine)),
        issuer: plan.issuer.clone(),
        verifier: plan.settings,
        proofs: ProofTrust::Own(plan.region.partition()),
        servers: None,
        ca: Some(layout.ca()),
    })
}

/// Returns the state of a stack that begins to start.
fn initial_state(plan: &Plan) -> State {
    let layout = &plan.layout;
    State {
        pid: std::process::id(),
        phase: Phase::Starting,
        dir: layout.root().to_owned(),
        account: plan.account.clone(),
        region: plan.region.clone(),
        socket: layout.socket(),
        ldap: None,
        aws_endpoint_url: None,
        metadata_endpoint: None,
        issuer: plan.issuer.clone(),
        ca: layout.ca(),
        audit_log: log_directory(&layout.authority()).join(DECISIONS),
        instances: Vec::new(),
        skipped: Vec::new(),
        allowed_users: plan.allowed_users.clone(),
    }
}

/// Returns true if the next start keeps this server in the state, whichever servers are named.
///
/// Servers that the RDS API created or stopped are deleted only through the RDS API.
fn is_kept(known: &InstanceState) -> bool {
    known.created_by == CreatedBy::Api || known.desired_state != DesiredState::Up
}

/// Returns the servers to start.
///
/// These are the named servers, otherwise those of the previous run, otherwise one PostgreSQL
/// server; and all servers that the RDS API created and did not stop.
fn wanted(plan: &Plan, before: Option<&State>) -> Result<Vec<ServerSpec>, LocalError> {
    let again = |instance: &InstanceState| ServerSpec {
        instance: instance.instance.clone(),
        engine: instance.engine,
        version: Some(instance.version),
        port: None,
    };
    let missed = |left: &SkippedServer| ServerSpec {
        instance: left.instance.clone(),
        engine: left.engine,
        version: None,
        port: None,
    };
    let known = || before.iter().flat_map(|state| &state.instances);
    let mut wanted = plan.servers.clone();
    let runs = |instance: &&InstanceState| {
        instance.desired_state == DesiredState::Up
            && (plan.servers.is_empty() || instance.created_by == CreatedBy::Api)
    };
    let ran: Vec<ServerSpec> = known()
        .filter(runs)
        .filter(|ran| wanted.iter().all(|named| named.instance != ran.instance))
        .map(again)
        .collect();
    wanted.extend(ran);
    if !plan.servers.is_empty() {
        return Ok(wanted);
    }
    let missing = before
        .iter()
        .flat_map(|state| &state.skipped)
        .filter(|left| known().all(|known| known.instance != left.instance));
    wanted.extend(missing.map(missed));
    if wanted.is_empty() && known().next().is_none() {
        let engine = Engine::Postgres;
        wanted.push(ServerSpec {
            instance: engine.as_str().parse()?,
            engine,
            version: None,
            port: None,
        });
    }
    Ok(wanted)
}
