//! A whole stack in one directory: the authority and its servers, from nothing to ready and back.

pub mod attached;
mod builder;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_authority::log::DECISIONS;
use countersign_authority::servers::Servers;
use countersign_authority::store::{Location, Store};
use countersign_authority::verifier::VerifierConfig;
use countersign_authority::verifier_socket::{AllowedPeers, SocketAccess};
use countersign_aws_api::Machine;
use countersign_aws_api::server::{
    AuthorityServer, Config, Proofs, log_directory, state_directory,
};
use countersign_core::name::{AccountId, Engine, InstanceId};
use countersign_core::region::Region;
use nix::unistd::User;
use rustix::process::{Pid, Signal};

use crate::fleet::{AuthBackend, Fleet};
use crate::os_user::RunAs;
use crate::program::send;
use crate::projection::RefreshTask;
use crate::server::Server;
use crate::state::{CreatedBy, DesiredState, InstanceState, Lock, Phase, SkippedServer, State};
use crate::{Layout, LocalError, Version, pam};

use builder::Builder;

/// How long a stack may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(90);

/// Which way PostgreSQL servers ask the verifier; MariaDB and MySQL ask by their plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    /// By PAM where that can be set up, otherwise by LDAP.
    #[default]
    Automatic,
    /// By PAM, or not at all.
    Pam,
    /// By LDAP.
    Ldap,
}

/// A server that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub instance: InstanceId,
    /// Its kind.
    pub engine: Engine,
    /// Its version; the newest installed where none is given.
    pub version: Option<Version>,
    /// Its port; the one that it had, or a free one, where none is given.
    pub port: Option<u16>,
}

/// What is to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub layout: Layout,
    /// The servers; those that ran there before, or one PostgreSQL, where none is named.
    pub servers: Vec<Wanted>,
    /// How PostgreSQL asks.
    pub preference: Preference,
    /// The PAM module's file, where one was found.
    pub pam_module: Option<PathBuf>,
    /// The file of the plugin for MariaDB and MySQL, where one was found.
    pub mysql_plugin: Option<PathBuf>,
    /// Where [`crate::install`] unpacks newer versions.
    pub unpacked: PathBuf,
    /// The account that everything belongs to.
    pub account: AccountId,
    /// The region that everything is in.
    pub region: Region,
    /// Where LDAP binds are taken, where a server needs them.
    pub ldap_address: IpAddr,
    /// The system users, beside the one that runs the servers here, whose database servers may ask the verifier.
    pub allowed_users: Vec<String>,
    /// How the verifier decides.
    pub settings: VerifierConfig,
    /// How the issuer of service accounts' tokens calls itself.
    pub issuer: String,
    /// The machine whose metadata service is to listen on loopback: every user of the system can ask it.
    pub machine: Option<Machine>,
    /// The owner's own file of what the authority knows from the start, in the place of [`crate::seed::DEFAULT`].
    pub start: Option<PathBuf>,
}

/// A stack that runs. The servers go on where it is dropped, as they do when the process is killed; [`Stack::down`] stops them.
#[derive(Debug)]
pub struct Stack {
    service: AuthorityServer,
    fleet: Arc<Fleet>,
    state: State,
    _keeper: RefreshTask,
    _lock: Lock,
}

impl Stack {
    /// Starts everything. Servers that an earlier, killed stack left running are taken over, their sessions with them.
    /// `progress` hears of each step before it is taken.
    ///
    /// # Errors
    /// [`LocalError`], with what to do next. No server is left running then.
    pub async fn up(
        plan: Plan,
        progress: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, LocalError> {
        let layout = plan.layout.clone();
        layout.create()?;
        let lock = Lock::try_take(&layout)?
            .ok_or_else(|| LocalError::Running(layout.root().to_owned()))?;
        let run_as = RunAs::choose()?;
        run_as.check_entry(layout.root())?;
        let before = State::read(&layout)?;
        let wanted = wanted(&plan, before.as_ref())?;
        attached::check_names(&layout, wanted.iter().map(|server| &server.instance))?;
        // Also where no PostgreSQL is wanted yet: one may be made while the stack runs.
        let postgres = AuthBackend::choose(&plan)?;
        if wanted.iter().any(|server| server.engine == Engine::Postgres) {
            postgres.way()?;
        }
        let by_ldap = matches!(postgres, AuthBackend::Ldap(_));
        let (uid, group) = run_as.ids();
        let state = starting(&plan);
        let fleet = Arc::new(Fleet::new(&plan, run_as, postgres, state)?);
        progress("starting the authority");
        let service = AuthorityServer::start(Config {
            directory: layout.authority(),
            store: Location::Directory(state_directory(&layout.authority())),
            socket: layout.socket(),
            reach: if plan.allowed_users.is_empty() {
                group.map_or(SocketAccess::Owner, SocketAccess::Group)
            } else {
                SocketAccess::Everyone
            },
            askers: AllowedPeers::new(allowed(&plan.allowed_users)?.into_iter().chain([uid])),
            ldap: by_ldap.then(|| SocketAddr::new(plan.ldap_address, 0)),
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            metadata: plan
                .machine
                .clone()
                .map(|machine| (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), machine)),
            issuer: plan.issuer.clone(),
            settings: plan.settings,
            proofs: Proofs::Own(plan.region.partition()),
            servers: Some(Arc::<Fleet>::clone(&fleet)),
            ca: Some(layout.ca()),
        })
        .await?;
        fleet.amend(|state| {
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
        let keeper = RefreshTask::start(&layout, &plan.issuer)?;
        let builder = Builder {
            plan,
            wanted,
            fleet: Arc::clone(&fleet),
            before,
            progress: Box::new(progress),
        };
        let started = tokio::task::spawn_blocking(move || builder.start());
        let state = started.await.unwrap_or_else(|error| {
            // Nobody else tells the calls of the API that wait for the start.
            fleet.close();
            Err(LocalError::Unusable(format!("starting was abandoned: {error}")))
        })?;
        Ok(Self { service, fleet, state, _keeper: keeper, _lock: lock })
    }

    /// What ran once it was up. What has come and gone through the RDS API since is in [`State::of_running`].
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Its servers, as the RDS API has them.
    #[must_use]
    pub fn servers(&self) -> Arc<dyn Servers> {
        Arc::<Fleet>::clone(&self.fleet)
    }

    /// Waits until the authority ends, which it does not do by itself.
    pub async fn ended(&mut self) {
        self.service.ended().await;
    }

    /// Stops the servers, once those that are being made are, then the authority.
    ///
    /// # Errors
    /// That of the first server that does not stop; the others are stopped all the same.
    pub async fn down(self) -> Result<(), LocalError> {
        let Self { fleet, service, _lock, .. } = self;
        let stop = move || {
            fleet.close();
            fleet.stop_all()
        };
        let stopped = tokio::task::spawn_blocking(stop);
        let stopped = stopped
            .await
            .map_err(|error| LocalError::Unusable(format!("stopping was abandoned: {error}")))?;
        drop(service);
        stopped
    }
}

/// What [`down`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A stack, or what was left of one.
    Stack,
    /// Nothing.
    Nothing,
}

/// Stops whatever runs in a directory, also what a killed stack left behind, and on request takes everything away.
///
/// # Errors
/// [`LocalError`], where a server or the stack's process does not stop, or a file can't be taken away.
pub fn down(layout: &Layout, unpacked: &Path, wipe: bool) -> Result<Found, LocalError> {
    if !layout.lock_file().exists() {
        return Ok(Found::Nothing);
    }
    let _lock = match Lock::try_take(layout)? {
        Some(lock) => lock,
        None => stop_holder(layout)?,
    };
    let run_as = RunAs::choose()?;
    // By what lies there, not by what was written last: a killed stack may not have come to writing.
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
        // The store may not know yet, or no longer, what the RDS API had made.
        let made = State::read(layout)?.map(|state| state.instances).unwrap_or_default();
        made.iter().try_for_each(|instance| pam::remove(&instance.resource_id))?;
        layout.wipe()?;
    }
    Ok(Found::Stack)
}

/// Stops every server, also where one of them does not stop: the first error is the one to report.
fn all(stopping: impl Iterator<Item = Result<(), LocalError>>) -> Result<(), LocalError> {
    let stopped: Vec<Result<(), LocalError>> = stopping.collect();
    stopped.into_iter().collect()
}

/// Asks the process that holds the lock to stop, and waits for the lock.
fn stop_holder(layout: &Layout) -> Result<Lock, LocalError> {
    let deadline = Instant::now() + STOP_PATIENCE;
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
    let (seconds, output) = (STOP_PATIENCE.as_secs(), layout.output_file());
    Err(LocalError::TimedOut(format!(
        "the stack did not stop in {seconds} s: look into {}",
        output.display()
    )))
}

/// The numbers of system users.
fn allowed(names: &[String]) -> Result<Vec<u32>, LocalError> {
    let uid = |name: &String| match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(LocalError::Unusable(format!(
            "there is no system user {name:?} to let ask: see --allow-user"
        ))),
        Err(error) => Err(LocalError::Unusable(format!(
            "the system user {name:?} can't be looked up: {error}"
        ))),
    };
    names.iter().map(uid).collect()
}

/// The state of a stack that has begun to start.
fn starting(plan: &Plan) -> State {
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
        left_out: Vec::new(),
        allowed_users: plan.allowed_users.clone(),
    }
}

/// Whether a server stays whatever is named at the start: what the RDS API has made or stopped, only it takes away.
fn is_kept(known: &InstanceState) -> bool {
    known.maker == CreatedBy::Api || known.standing != DesiredState::Up
}

/// What was named, or what `local up` ran before, or PostgreSQL; and what the RDS API has made and not stopped.
fn wanted(plan: &Plan, before: Option<&State>) -> Result<Vec<Wanted>, LocalError> {
    let again = |instance: &InstanceState| Wanted {
        instance: instance.instance.clone(),
        engine: instance.engine,
        version: Some(instance.version),
        port: None,
    };
    let missed = |left: &SkippedServer| Wanted {
        instance: left.instance.clone(),
        engine: left.engine,
        version: None,
        port: None,
    };
    let known = || before.iter().flat_map(|state| &state.instances);
    let mut wanted = plan.servers.clone();
    let runs = |instance: &&InstanceState| {
        instance.standing == DesiredState::Up
            && (plan.servers.is_empty() || instance.maker == CreatedBy::Api)
    };
    let ran: Vec<Wanted> = known()
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
        .flat_map(|state| &state.left_out)
        .filter(|left| known().all(|known| known.instance != left.instance));
    wanted.extend(missing.map(missed));
    if wanted.is_empty() && known().next().is_none() {
        let engine = Engine::Postgres;
        wanted.push(Wanted {
            instance: engine.as_str().parse()?,
            engine,
            version: None,
            port: None,
        });
    }
    Ok(wanted)
}
