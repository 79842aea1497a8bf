//! Resources of jobs: the servers, their number at once, and the listeners of proxies.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_authority::log::AccessLog;
use countersign_authority::servers::{ServerDescription, Servers};
use countersign_authority::store::Store;
use countersign_authority::verifier::Verifier;
use countersign_core::name::InstanceId;
use tokio::runtime::Handle;

use super::ca_certificate::Certificate;
use super::proxy_listener::ProxyListeners;
use crate::error::ApiError;

/// Maximum number of jobs at once.
const MAX_JOBS: usize = 32;

/// Runs the jobs of the RDS API.
#[derive(Debug)]
pub(crate) struct JobRunner {
    verifier: Arc<Verifier>,
    servers: Option<Arc<dyn Servers>>,
    /// Name of this authority among those over one store: it changes only its own servers.
    name: String,
    certificate: Option<Certificate>,
    active: AtomicUsize,
    /// Descriptions of servers that were not created by the API.
    descriptions: Mutex<HashMap<InstanceId, ServerDescription>>,
    listeners: ProxyListeners,
    /// Runtime of the proxies' listeners; `None` if the runner was created outside of one.
    runtime: Option<Handle>,
}

/// Permit for one job; released on drop.
#[derive(Debug)]
pub(crate) struct JobPermit(Arc<JobRunner>);

impl Drop for JobPermit {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

impl JobRunner {
    /// Creates a runner without servers.
    pub(crate) fn idle(verifier: Arc<Verifier>) -> Self {
        Self {
            verifier,
            servers: None,
            name: String::new(),
            certificate: None,
            active: AtomicUsize::new(0),
            descriptions: Mutex::default(),
            listeners: ProxyListeners::default(),
            runtime: Handle::try_current().ok(),
        }
    }

    /// Creates a runner of `servers` for the authority of that name. `certificate` is the PEM of
    /// the CA that signs the servers' certificates.
    pub(crate) fn running(
        verifier: Arc<Verifier>,
        servers: Arc<dyn Servers>,
        name: String,
        certificate: Option<&str>,
    ) -> Self {
        let certificate = certificate.and_then(Certificate::from_pem);
        Self { servers: Some(servers), name, certificate, ..Self::idle(verifier) }
    }

    pub(crate) fn store(&self) -> &Store {
        self.verifier.store()
    }

    pub(crate) fn log(&self) -> &AccessLog {
        self.verifier.log()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    pub(crate) const fn listeners(&self) -> &ProxyListeners {
        &self.listeners
    }

    /// Returns the runtime of the proxies' listeners.
    pub(crate) fn runtime(&self) -> io::Result<&Handle> {
        self.runtime
            .as_ref()
            .ok_or_else(|| io::Error::other("cannot listen: the API has no tokio runtime"))
    }

    /// Returns the servers.
    ///
    /// # Errors
    /// `InsufficientDBInstanceCapacity` if this authority runs none.
    pub(crate) fn servers(&self) -> Result<&Arc<dyn Servers>, ApiError> {
        self.servers.as_ref().ok_or_else(|| {
            no_capacity(
                "This authority runs no database servers. Start one with `countersign local up`, \
                 which does, and send the request there.",
            )
        })
    }

    /// Acquires a permit for a job.
    ///
    /// # Errors
    /// `InsufficientDBInstanceCapacity` if this authority runs no servers, or too many jobs.
    pub(crate) fn permit(self: &Arc<Self>) -> Result<JobPermit, ApiError> {
        self.servers()?;
        let permit = JobPermit(Arc::clone(self));
        if self.active.fetch_add(1, Ordering::AcqRel) >= MAX_JOBS {
            return Err(no_capacity(&format!(
                "{MAX_JOBS} servers are being changed: try again when one is done."
            )));
        }
        Ok(permit)
    }

    /// Runs a job on a thread of its own.
    pub(crate) fn spawn(
        permit: JobPermit,
        name: &'static str,
        job: impl FnOnce(&Arc<Self>, &Arc<dyn Servers>) + Send + 'static,
    ) {
        let spawned = std::thread::Builder::new().name(format!("rds {name}")).spawn(move || {
            if let Some(servers) = &permit.0.servers {
                job(&permit.0, servers);
            }
        });
        if let Err(error) = spawned {
            // The record stays in its transitional status; recovery resumes it at the next start.
            tracing::error!(%error, job = name, "cannot spawn a thread for a job");
        }
    }

    /// Returns the description of a server that was not created by the API.
    pub(crate) fn description(&self, name: &InstanceId) -> Option<ServerDescription> {
        if let Some(known) = self.descriptions().get(name) {
            return Some(known.clone());
        }
        let description = self.servers.as_ref()?.describe(name).ok()?;
        self.descriptions().insert(name.clone(), description.clone());
        Some(description)
    }

    fn descriptions(&self) -> MutexGuard<'_, HashMap<InstanceId, ServerDescription>> {
        self.descriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_capacity(message: &str) -> ApiError {
    ApiError::new("InsufficientDBInstanceCapacity", 400, message)
}
