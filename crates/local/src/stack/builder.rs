//! Starting the servers of a plan, one after the other.

use countersign_authority::service::state_directory;
use countersign_authority::store::{Instance, Store};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::Engine;

use super::{Plan, Wanted};
use crate::layout::install_library;
use crate::os_user::RunAs;
use crate::people::{DEFAULT_USER, People};
use crate::postgres::Gate;
use crate::server::{Kind, Server, database, host};
use crate::state::{Authentication, InstanceState, LeftOut, Phase, State};
use crate::tls::{HOSTS, LocalCa};
use crate::{Installation, LocalError, install, pam, port};

/// Starts the servers of a plan. What may run is in the state before it does, so that [`super::down`] finds it however this
/// ends.
pub(super) struct Builder {
    pub(super) plan: Plan,
    pub(super) wanted: Vec<Wanted>,
    pub(super) run_as: RunAs,
    pub(super) postgres: Option<(Authentication, Option<String>)>,
    pub(super) state: State,
    pub(super) before: Option<State>,
    pub(super) servers: Vec<Server>,
    pub(super) progress: Box<dyn Fn(&str) + Send>,
}

impl Builder {
    pub(super) fn start(mut self) -> Result<(Vec<Server>, State), LocalError> {
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
        let store = Store::open(&state_directory(&layout.authority()))?;
        store.ensure_account(&self.plan.account, self.plan.region.partition())?;
        let ca = LocalCa::open(&layout)?;
        for wanted in self.wanted.clone() {
            match self.installation(&wanted) {
                Ok(installation) => self.server(&wanted, installation, &store, &ca)?,
                Err(error) => self.leave_out(&wanted, error)?,
            }
        }
        (self.progress)(&format!("granting rds-db:connect to the IAM user {DEFAULT_USER}"));
        People::new(&layout, &self.state, &store, &self.plan.unpacked).ensure_default_user(self.before.as_ref())?;
        self.state.phase = Phase::Ready;
        self.state.write(&layout)
    }

    /// The programs of a server: those that are installed, or else those that can be unpacked.
    fn installation(&self, wanted: &Wanted) -> Result<Installation, LocalError> {
        let (engine, unpacked) = (wanted.engine, &self.plan.unpacked);
        let kind = Kind::read(&self.plan.layout, &wanted.instance)?;
        // Data stays with the version that made it, where that is one of those asked for.
        let made_by = kind.map(|kind| kind.version).filter(|version| wanted.version.is_none_or(|wanted| wanted.covers(*version)));
        let version = made_by.or(wanted.version);
        match Installation::find(engine, version, unpacked) {
            Err(absent @ LocalError::NotInstalled { .. }) if engine == Engine::Postgres => Err(absent),
            Err(absent @ LocalError::NotInstalled { .. }) => {
                (self.progress)(&format!("unpacking {} beside the system, which has none that fits", engine.product()));
                install(engine, version, unpacked).map_err(|error| LocalError::Unusable(format!("{absent}, and that failed: {error}")))
            }
            found => found,
        }
    }

    /// A server that can't be had is no reason to do without the others; without any it is an error.
    fn leave_out(&mut self, wanted: &Wanted, error: LocalError) -> Result<(), LocalError> {
        if self.state.left_out.len() + 1 == self.wanted.len() {
            return Err(error);
        }
        (self.progress)(&format!("leaving {} out: {error}", wanted.instance));
        self.state.left_out.push(LeftOut { instance: wanted.instance.clone(), engine: wanted.engine, because: error.to_string() });
        Ok(())
    }

    fn server(&mut self, wanted: &Wanted, installation: Installation, store: &Store, ca: &LocalCa) -> Result<(), LocalError> {
        let layout = self.plan.layout.clone();
        let (engine, version) = (installation.engine, installation.version);
        let server = Server::new(installation, wanted.instance.clone(), &layout, self.run_as.clone());
        (self.progress)(&format!("preparing {} ({} {version})", wanted.instance, engine.product()));
        server.create(&layout, &wanted.instance, Kind { engine, version })?;
        let (instance, port) = self.register(wanted, store, server.is_running())?;
        let (authentication, because) = self.configure(&server, &instance, port, ca)?;
        self.state.instances.push(InstanceState {
            instance: wanted.instance.clone(),
            resource_id: instance.resource_id,
            engine,
            version,
            host: host(engine).parse()?,
            port,
            database: database(engine).to_owned(),
            user: DEFAULT_USER.to_owned(),
            authentication,
            because,
        });
        self.state.write(&layout)?;
        (self.progress)(&format!("starting {} on port {port}, asking by {}", wanted.instance, authentication.as_str()));
        self.servers.push(server);
        self.servers.last().map_or(Ok(()), |server| server.start(port))
    }

    /// Writes the server's configuration, and says how it is to ask; and why not by PAM, where that is so.
    fn configure(
        &self,
        server: &Server,
        instance: &Instance,
        port: u16,
        ca: &LocalCa,
    ) -> Result<(Authentication, Option<String>), LocalError> {
        let layout = &self.plan.layout;
        match server {
            Server::Postgres(server) => {
                // Chosen before the authority was started, which has to listen for it.
                let unchosen = || LocalError::Unusable(format!("how {} is to ask was not chosen", instance.name));
                let asks = self.postgres.clone().ok_or_else(unchosen)?;
                if asks.0 == Authentication::Pam {
                    pam::register(layout, &instance.name, &instance.resource_id)?;
                }
                server.configure(ca, port, &Gate::new(self.state.ldap, &pam::service(&instance.resource_id), &instance.name))?;
                Ok(asks)
            }
            Server::Mysql(server) => {
                let missing = || LocalError::Unusable("mysql_countersign.so was not found: name it with --mysql-plugin".to_owned());
                install_library(self.plan.mysql_plugin.as_deref().ok_or_else(missing)?, &layout.mysql_plugin())?;
                server.configure(ca, port, layout)?;
                Ok((Authentication::Plugin, None))
            }
        }
    }

    /// Chooses the port, and tells the authority of the instance: under its old resource id where it has one.
    fn register(&self, wanted: &Wanted, store: &Store, running: bool) -> Result<(Instance, u16), LocalError> {
        let known = store.instance(&wanted.instance)?;
        let old_port = known.as_ref().and_then(|instance| instance.endpoints.first()).map(|endpoint| endpoint.port);
        let port = port::choose(&wanted.instance, wanted.port, old_port, running)?;
        let endpoint = |host: &&str| Ok(Endpoint { engine: wanted.engine, host: host.parse()?, port, region: self.plan.region.clone() });
        let instance = Instance {
            name: wanted.instance.clone(),
            account: self.plan.account.clone(),
            resource_id: known.map_or_else(Store::new_resource_id, |instance| Ok(instance.resource_id))?,
            engine: wanted.engine,
            region: self.plan.region.clone(),
            iam_enabled: true,
            endpoints: HOSTS.iter().map(endpoint).collect::<Result<_, LocalError>>()?,
        };
        store.put_instance(&instance)?;
        Ok((instance, port))
    }
}
