//! Starts the servers of a plan one after the other.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_authority::model::{Address, Instance};
use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::name::ResourceId;
use zeroize::Zeroizing;

use crate::error::at;
use crate::fleet::Fleet;
use crate::identities::{DEFAULT_USER, Identities};
use crate::plan::{Plan, ServerSpec};
use crate::seed::{self, TemplateVars};
use crate::server::{database, host};
use crate::state::{CreatedBy, DesiredState, InstanceState, Phase, SkippedServer, State};
use crate::tls::HOSTS;
use crate::{Installation, LocalError, port};

/// Starts the servers of a plan.
///
/// Each server is recorded in the state before it starts, so that [`super::down`] finds it.
pub(super) struct Builder {
    pub(super) plan: Plan,
    pub(super) wanted: Vec<ServerSpec>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) before: Option<State>,
    pub(super) progress: Box<dyn Fn(&str) + Send>,
}

impl Builder {
    pub(super) fn start(self) -> Result<State, LocalError> {
        match self.start_all() {
            Ok(()) => Ok(self.fleet.state()),
            Err(error) => {
                self.fleet.close();
                // The first error is returned; a second one is logged.
                if let Err(second) = self.fleet.stop_all() {
                    tracing::error!(error = %second, "cannot stop a server");
                }
                Err(error)
            }
        }
    }

    fn start_all(&self) -> Result<(), LocalError> {
        let layout = &self.plan.layout;
        let store = Store::open(&state_directory(&layout.authority()))?;
        store.ensure_account(&self.plan.account, self.plan.region.partition())?;
        self.remove_partial()?;
        let vars = TemplateVars {
            account: &self.plan.account,
            region: &self.plan.region,
            issuer: &self.plan.issuer,
        };
        let seed_file = self
            .plan
            .seed_file
            .as_ref()
            .map(|file| std::fs::read_to_string(file).map(Zeroizing::new).map_err(at(file)))
            .transpose()?;
        seed::apply(
            &store,
            seed_file.as_ref().map(|text| text.as_str()),
            &vars,
            SystemTime::now(),
        )?;
        for wanted in &self.wanted {
            match self.fleet.installation(
                &wanted.instance,
                wanted.engine,
                wanted.version,
                &self.progress,
            ) {
                Ok(installation) => self.server(wanted, installation, &store)?,
                Err(error) => self.skip(wanted, error)?,
            }
        }
        (self.progress)(&format!("granting rds-db:connect to the IAM user {DEFAULT_USER}"));
        Identities::new(layout, &self.fleet.state(), &store, &self.plan.unpacked)
            .ensure_default_user(self.before.as_ref())?;
        self.fleet.update(|state| state.phase = Phase::Ready)
    }

    /// Removes servers that were being created or deleted when the stack was killed.
    ///
    /// No caller was told that they exist.
    fn remove_partial(&self) -> Result<(), LocalError> {
        for partial in self
            .fleet
            .state()
            .instances
            .iter()
            .filter(|known| known.desired_state == DesiredState::Partial)
        {
            (self.progress)(&format!("removing the remains of {}", partial.instance));
            self.fleet.remove(partial)?;
        }
        Ok(())
    }

    /// Skips a server that cannot be started. Skipping all of them is an error.
    fn skip(&self, wanted: &ServerSpec, error: LocalError) -> Result<(), LocalError> {
        if self.fleet.state().skipped.len() + 1 == self.wanted.len() {
            return Err(error);
        }
        (self.progress)(&format!("skipping {}: {error}", wanted.instance));
        let skipped = SkippedServer {
            instance: wanted.instance.clone(),
            engine: wanted.engine,
            reason: error.to_string(),
        };
        self.fleet.update(|state| {
            state.skipped.push(skipped);
            // A server of the RDS API stays in the state until a client starts it.
            state.instances.iter_mut().filter(|known| known.instance == wanted.instance).for_each(
                |known| {
                    known.desired_state = DesiredState::Stopped;
                },
            );
        })
    }

    fn server(
        &self,
        wanted: &ServerSpec,
        installation: Installation,
        store: &Store,
    ) -> Result<(), LocalError> {
        let (engine, version) = (installation.engine, installation.version);
        let known = self
            .fleet
            .state()
            .instances
            .into_iter()
            .find(|known| known.instance == wanted.instance);
        let known = known.filter(|known| known.created_by == CreatedBy::Api);
        let created_by = known.as_ref().map_or(CreatedBy::CommandLine, |known| known.created_by);
        (self.progress)(&format!("preparing {} ({} {version})", wanted.instance, engine.product()));
        let server = self.fleet.create_server(installation, &wanted.instance, created_by, None)?;
        let (resource_id, port) =
            self.register(wanted, known.as_ref(), store, server.is_running())?;
        let (authentication, reason) = self.fleet.authentication(engine)?;
        let (database, user) = known.map_or_else(
            || (database(engine).to_owned(), DEFAULT_USER.to_owned()),
            |known| (known.database, known.user),
        );
        let entry = InstanceState {
            instance: wanted.instance.clone(),
            resource_id,
            engine,
            version,
            host: host(engine).parse()?,
            port,
            database,
            user,
            authentication,
            reason,
            created_by,
            desired_state: DesiredState::Up,
        };
        (self.progress)(&format!(
            "starting {} on port {port}, authentication by {}",
            wanted.instance,
            authentication.as_str()
        ));
        self.fleet.launch(&server, &entry)
    }

    /// Chooses the port and registers the instance with the authority.
    ///
    /// A known instance keeps its resource id. The RDS API registers its own instances, of which
    /// only the port may change here.
    fn register(
        &self,
        wanted: &ServerSpec,
        created: Option<&InstanceState>,
        store: &Store,
        running: bool,
    ) -> Result<(ResourceId, u16), LocalError> {
        let known = store.instance(&wanted.instance)?;
        let registered = known
            .as_ref()
            .and_then(|instance| instance.addresses.first())
            .map(|address| address.port);
        let port = port::choose(
            &wanted.instance,
            wanted.port,
            created.map(|created| created.port).or(registered),
            running,
        )?;
        let address = |host: &&str| Ok(Address { host: host.parse()?, port, resource_id: None });
        let mut addresses: Vec<Address> =
            HOSTS.iter().map(address).collect::<Result<_, LocalError>>()?;
        let instance = match (known, created) {
            (Some(known), _) => {
                // Addresses of proxies are kept.
                addresses.extend(
                    known.addresses.iter().filter(|address| address.resource_id.is_some()).cloned(),
                );
                let (account, region) = (self.plan.account.clone(), self.plan.region.clone());
                Instance {
                    account,
                    engine: wanted.engine,
                    region,
                    addresses,
                    ..Instance::clone(&known)
                }
            }
            (None, Some(created)) => return Ok((created.resource_id.clone(), port)),
            (None, None) => Instance {
                name: wanted.instance.clone(),
                account: self.plan.account.clone(),
                resource_id: Store::new_resource_id()?,
                engine: wanted.engine,
                region: self.plan.region.clone(),
                iam_enabled: true,
                addresses,
            },
        };
        store.put_instance(&instance)?;
        Ok((instance.resource_id, port))
    }
}
