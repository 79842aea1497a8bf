//! Starting the servers of a plan, one after the other.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_authority::model::{Address, Instance};
use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::name::ResourceId;
use zeroize::Zeroizing;

use super::{Plan, Wanted};
use crate::error::at;
use crate::fleet::Fleet;
use crate::identities::{DEFAULT_USER, Identities};
use crate::seed::{self, TemplateVars};
use crate::server::{database, host};
use crate::state::{CreatedBy, DesiredState, InstanceState, Phase, SkippedServer, State};
use crate::tls::HOSTS;
use crate::{Installation, LocalError, port};

/// Starts the servers of a plan. What may run is in the state before it does, so that [`super::down`] finds it however this
/// ends.
pub(super) struct Builder {
    pub(super) plan: Plan,
    pub(super) wanted: Vec<Wanted>,
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
                // The first error is the one to report.
                if let Err(second) = self.fleet.stop_all() {
                    tracing::error!(error = %second, "a server could not be stopped");
                }
                Err(error)
            }
        }
    }

    fn start_all(&self) -> Result<(), LocalError> {
        let layout = &self.plan.layout;
        let store = Store::open(&state_directory(&layout.authority()))?;
        store.ensure_account(&self.plan.account, self.plan.region.partition())?;
        self.clear()?;
        let facts = TemplateVars {
            account: &self.plan.account,
            region: &self.plan.region,
            issuer: &self.plan.issuer,
        };
        let own = self
            .plan
            .start
            .as_ref()
            .map(|file| std::fs::read_to_string(file).map(Zeroizing::new).map_err(at(file)))
            .transpose()?;
        seed::apply(&store, own.as_ref().map(|text| text.as_str()), &facts, SystemTime::now())?;
        for wanted in &self.wanted {
            match self.fleet.installation(
                &wanted.instance,
                wanted.engine,
                wanted.version,
                &self.progress,
            ) {
                Ok(installation) => self.server(wanted, installation, &store)?,
                Err(error) => self.leave_out(wanted, error)?,
            }
        }
        (self.progress)(&format!("granting rds-db:connect to the IAM user {DEFAULT_USER}"));
        Identities::new(layout, &self.fleet.state(), &store, &self.plan.unpacked)
            .ensure_default_user(self.before.as_ref())?;
        self.fleet.change(|state| state.phase = Phase::Ready)
    }

    /// Takes away what was being made, or taken away, when the stack was killed: nobody has been told that it is there.
    fn clear(&self) -> Result<(), LocalError> {
        for left in self
            .fleet
            .state()
            .instances
            .iter()
            .filter(|known| known.standing == DesiredState::Partial)
        {
            (self.progress)(&format!("taking away what is left of {}", left.instance));
            self.fleet.take_away(left)?;
        }
        Ok(())
    }

    /// A server that can't be had is no reason to do without the others; without any it is an error.
    fn leave_out(&self, wanted: &Wanted, error: LocalError) -> Result<(), LocalError> {
        if self.fleet.state().left_out.len() + 1 == self.wanted.len() {
            return Err(error);
        }
        (self.progress)(&format!("leaving {} out: {error}", wanted.instance));
        let left = SkippedServer {
            instance: wanted.instance.clone(),
            engine: wanted.engine,
            reason: error.to_string(),
        };
        self.fleet.change(|state| {
            state.left_out.push(left);
            // What the RDS API had made is not forgotten, and waits until it is started through it.
            state.instances.iter_mut().filter(|known| known.instance == wanted.instance).for_each(
                |known| {
                    known.standing = DesiredState::Stopped;
                },
            );
        })
    }

    fn server(
        &self,
        wanted: &Wanted,
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
        let known = known.filter(|known| known.maker == CreatedBy::Api);
        let maker = known.as_ref().map_or(CreatedBy::CommandLine, |known| known.maker);
        (self.progress)(&format!("preparing {} ({} {version})", wanted.instance, engine.product()));
        let server = self.fleet.make(installation, &wanted.instance, maker, None)?;
        let (resource_id, port) =
            self.register(wanted, known.as_ref(), store, server.is_running())?;
        let (authentication, reason) = self.fleet.asks(engine)?;
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
            maker,
            standing: DesiredState::Up,
        };
        (self.progress)(&format!(
            "starting {} on port {port}, asking by {}",
            wanted.instance,
            authentication.as_str()
        ));
        self.fleet.launch(&server, &entry)
    }

    /// Chooses the port, and tells the authority of the instance: under its old resource id where it has one. The RDS API
    /// registers its own, of which the port alone may change here.
    fn register(
        &self,
        wanted: &Wanted,
        made: Option<&InstanceState>,
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
            made.map(|made| made.port).or(registered),
            running,
        )?;
        let address = |host: &&str| Ok(Address { host: host.parse()?, port, resource_id: None });
        let mut addresses: Vec<Address> =
            HOSTS.iter().map(address).collect::<Result<_, LocalError>>()?;
        let instance = match (known, made) {
            (Some(known), _) => {
                // Those of proxies stay.
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
            (None, Some(made)) => return Ok((made.resource_id.clone(), port)),
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
