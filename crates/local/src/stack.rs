//! A whole stack in one directory: the authority and its servers, from nothing to ready and back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_authority::daemon::Askers;
use countersign_authority::log::DECISIONS;
use countersign_authority::service::{Config, Service, log_directory, state_directory};
use countersign_authority::store::{Instance, Store};
use countersign_authority::verifier::Settings;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{AccountId, Engine, InstanceId};
use countersign_core::region::Region;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::os_user::RunAs;
use crate::people::{DEFAULT_USER, People};
use crate::postgres::{DATABASE, Gate, HOSTS, Postgres, free_port, is_free};
use crate::state::{Authentication, InstanceState, Lock, Phase, State};
use crate::tls::LocalCa;
use crate::{Installation, Layout, LocalError, Version, pam};

/// How long a stack may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(90);

/// Which way the servers ask the verifier.
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
    /// Its major version; the newest installed where none is given.
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
    /// How they ask.
    pub preference: Preference,
    /// The PAM module's file, where one was found.
    pub pam_module: Option<PathBuf>,
    /// Where [`crate::install`] unpacks newer versions.
    pub unpacked: PathBuf,
    /// The account that everything belongs to.
    pub account: AccountId,
    /// The region that everything is in.
    pub region: Region,
    /// Where LDAP binds are taken, where a server needs them.
    pub ldap_address: IpAddr,
    /// How the verifier decides.
    pub settings: Settings,
}

/// A stack that runs. The servers go on where it is dropped, as they do when the process is killed; [`Stack::down`] stops them.
#[derive(Debug)]
pub struct Stack {
    service: Service,
    servers: Vec<Postgres>,
    state: State,
    _lock: Lock,
}

impl Stack {
    /// Starts everything. Servers that an earlier, killed stack left running are taken over, their sessions with them.
    /// `progress` hears of each step before it is taken.
    ///
    /// # Errors
    /// [`LocalError`], with what to do next. No server is left running then.
    pub async fn up(plan: Plan, progress: impl Fn(&str) + Send + 'static) -> Result<Self, LocalError> {
        let layout = plan.layout.clone();
        layout.create()?;
        let lock = Lock::try_take(&layout)?.ok_or_else(|| LocalError::Running(layout.root().to_owned()))?;
        let run_as = RunAs::choose()?;
        run_as.check_entry(layout.root())?;
        let (authentication, because) = authentication(&plan)?;
        let (uid, group) = run_as.ids();
        progress("starting the authority");
        let service = Service::start(Config {
            directory: layout.authority(),
            socket: layout.socket(),
            socket_group: group,
            askers: Askers::new([uid]),
            ldap: (authentication == Authentication::Ldap).then(|| SocketAddr::new(plan.ldap_address, 0)),
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            settings: plan.settings,
        })
        .await?;
        let state = State {
            pid: std::process::id(),
            phase: Phase::Starting,
            dir: layout.root().to_owned(),
            account: plan.account.clone(),
            region: plan.region.clone(),
            socket: layout.socket(),
            ldap: service.ldap,
            aws_endpoint_url: service.http.map(|address| format!("http://{address}")),
            ca: layout.ca(),
            audit_log: log_directory(&layout.authority()).join(DECISIONS),
            instances: Vec::new(),
        };
        let builder = Builder { plan, run_as, authentication, because, state, servers: Vec::new(), progress: Box::new(progress) };
        let started = tokio::task::spawn_blocking(move || builder.start());
        let joined = started.await.map_err(|error| LocalError::Unusable(format!("starting was abandoned: {error}")))?;
        let (servers, state) = joined?;
        Ok(Self { service, servers, state, _lock: lock })
    }

    /// What runs.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Waits until the authority ends, which it does not do by itself.
    pub async fn ended(&mut self) {
        self.service.ended().await;
    }

    /// Stops the servers, then the authority.
    ///
    /// # Errors
    /// Those of `pg_ctl`.
    pub async fn down(self) -> Result<(), LocalError> {
        let Self { servers, service, _lock, .. } = self;
        let stopped = tokio::task::spawn_blocking(move || servers.iter().try_for_each(Postgres::stop));
        let stopped = stopped.await.map_err(|error| LocalError::Unusable(format!("stopping was abandoned: {error}")))?;
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
    for instance in layout.instances()? {
        let Some(version) = Postgres::data_version(layout, &instance) else { continue };
        let installation = Installation::find(Some(version), unpacked)?;
        Postgres::new(installation, instance, layout, run_as.clone()).stop()?;
    }
    if wipe {
        let store = Store::open(&state_directory(&layout.authority()))?;
        for name in store.instance_names()? {
            store.instance(&name)?.map_or(Ok(()), |instance| pam::remove(&instance.resource_id))?;
        }
        drop(store);
        layout.wipe()?;
    }
    Ok(Found::Stack)
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
            asked = holder.filter(|pid| ask_to_stop(layout, *pid));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (seconds, output) = (STOP_PATIENCE.as_secs(), layout.output_file());
    Err(LocalError::TimedOut(format!("the stack did not stop in {seconds} s: look into {}", output.display())))
}

/// Sends SIGTERM to the process, if it is still the holder once nobody else can get its number.
fn ask_to_stop(layout: &Layout, pid: Pid) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let still = Lock::holder(layout).is_ok_and(|holder| holder == Some(pid));
    still && pidfd_send_signal(&process, Signal::TERM).is_ok()
}

/// How the servers are to ask; and why not by PAM, where that is so.
fn authentication(plan: &Plan) -> Result<(Authentication, Option<String>), LocalError> {
    if plan.preference == Preference::Ldap {
        return Ok((Authentication::Ldap, Some("--authentication ldap".to_owned())));
    }
    match pam::check(plan.pam_module.as_deref()) {
        Ok(module) => pam::install(module, &plan.layout).map(|()| (Authentication::Pam, None)),
        Err(why) if plan.preference == Preference::Pam => Err(LocalError::Unusable(format!("PAM can't be used: {why}"))),
        Err(why) => Ok((Authentication::Ldap, Some(why))),
    }
}

/// Starts the servers of a plan, one after the other. What may run is in the state before it does, so that [`down`] finds
/// it however this ends.
struct Builder {
    plan: Plan,
    run_as: RunAs,
    authentication: Authentication,
    because: Option<String>,
    state: State,
    servers: Vec<Postgres>,
    progress: Box<dyn Fn(&str) + Send>,
}

impl Builder {
    fn start(mut self) -> Result<(Vec<Postgres>, State), LocalError> {
        match self.start_all() {
            Ok(()) => Ok((self.servers, self.state)),
            Err(error) => {
                // The first error is the one to report.
                for server in &self.servers {
                    if let Err(second) = server.stop() {
                        tracing::error!(error = %second, "a server could not be stopped");
                    }
                }
                Err(error)
            }
        }
    }

    fn start_all(&mut self) -> Result<(), LocalError> {
        let layout = self.plan.layout.clone();
        let before = State::read(&layout)?;
        let store = Store::open(&state_directory(&layout.authority()))?;
        store.ensure_account(&self.plan.account, self.plan.region.partition())?;
        let ca = LocalCa::open(&layout)?;
        for wanted in self.wanted(before.as_ref())? {
            self.server(&wanted, &store, &ca)?;
        }
        (self.progress)(&format!("granting rds-db:connect to the IAM user {DEFAULT_USER}"));
        People::new(&layout, &self.state, &store, &self.plan.unpacked).ensure_default_user(before.as_ref())?;
        self.state.phase = Phase::Ready;
        self.state.write(&layout)
    }

    /// What was named, or what ran before, or PostgreSQL.
    fn wanted(&self, before: Option<&State>) -> Result<Vec<Wanted>, LocalError> {
        if !self.plan.servers.is_empty() {
            return Ok(self.plan.servers.clone());
        }
        let again = |instance: &InstanceState| Wanted { instance: instance.instance.clone(), version: Some(instance.version), port: None };
        let ran: Vec<Wanted> = before.iter().flat_map(|state| &state.instances).map(again).collect();
        if !ran.is_empty() {
            return Ok(ran);
        }
        Ok(vec![Wanted { instance: Engine::Postgres.as_str().parse()?, version: None, port: None }])
    }

    fn server(&mut self, wanted: &Wanted, store: &Store, ca: &LocalCa) -> Result<(), LocalError> {
        let layout = self.plan.layout.clone();
        let version = wanted.version.or_else(|| Postgres::data_version(&layout, &wanted.instance));
        let installation = Installation::find(version, &self.plan.unpacked)?;
        let version = installation.version;
        let server = Postgres::new(installation, wanted.instance.clone(), &layout, self.run_as.clone());
        (self.progress)(&format!("preparing {} (PostgreSQL {version})", wanted.instance));
        server.create()?;
        let instance = self.register(wanted, store, server.is_running())?;
        let port = instance.endpoints.first().map_or(0, |endpoint| endpoint.port);
        if self.authentication == Authentication::Pam {
            pam::register(&layout, &instance.name, &instance.resource_id)?;
        }
        server.configure(ca, port, &Gate::new(self.state.ldap, &pam::service(&instance.resource_id), &wanted.instance))?;
        let [host, ..] = HOSTS;
        self.state.instances.push(InstanceState {
            instance: wanted.instance.clone(),
            resource_id: instance.resource_id,
            engine: Engine::Postgres,
            version,
            host: host.parse()?,
            port,
            database: DATABASE.to_owned(),
            user: DEFAULT_USER.to_owned(),
            authentication: self.authentication,
            because: self.because.clone(),
        });
        self.state.write(&layout)?;
        (self.progress)(&format!("starting {} on port {port}, asking by {}", wanted.instance, self.authentication.as_str()));
        self.servers.push(server);
        let Some(server) = self.servers.last() else { return Ok(()) };
        server.start(port)?;
        server.sql(port, include_str!("postgres/roles.sql"), &[]).map(drop)
    }

    /// Tells the authority of the instance: under its old resource id where it has one.
    fn register(&self, wanted: &Wanted, store: &Store, running: bool) -> Result<Instance, LocalError> {
        let known = store.instance(&wanted.instance)?;
        let old_port = known.as_ref().and_then(|instance| instance.endpoints.first()).map(|endpoint| endpoint.port);
        let port = choose_port(wanted, old_port, running)?;
        let endpoint = |host: &&str| Ok(Endpoint { engine: Engine::Postgres, host: host.parse()?, port, region: self.plan.region.clone() });
        let instance = Instance {
            name: wanted.instance.clone(),
            account: self.plan.account.clone(),
            resource_id: known.map_or_else(Store::new_resource_id, |instance| Ok(instance.resource_id))?,
            engine: Engine::Postgres,
            region: self.plan.region.clone(),
            iam_enabled: true,
            endpoints: HOSTS.iter().map(endpoint).collect::<Result<_, LocalError>>()?,
        };
        store.put_instance(&instance)?;
        Ok(instance)
    }
}

/// The port asked for, or the one that the server had, or a free one.
fn choose_port(wanted: &Wanted, old: Option<u16>, running: bool) -> Result<u16, LocalError> {
    match (wanted.port, old) {
        (Some(port), Some(old)) if running && port != old => {
            let name = &wanted.instance;
            Err(LocalError::Unusable(format!("{name} was left running on port {old}: `countersign local down` first, or leave --port out")))
        }
        (_, Some(old)) if running => Ok(old),
        (Some(port), _) if !is_free(port) => {
            Err(LocalError::Unusable(format!("port {port} is taken: pass another with --port, or none for a free one")))
        }
        (Some(port), _) => Ok(port),
        (None, Some(old)) if is_free(old) => Ok(old),
        (None, _) => free_port(),
    }
}
