//! The work behind the actions: servers are made and changed on threads of their own, and what has come of it is written in one
//! change of the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_core::name::InstanceId;

use tokio::runtime::Handle;

use super::certificate::Certificate;
use super::proxy_listener::ProxyListeners;
use super::recovery;
use super::request::error;
use crate::error::ApiError;
use countersign_authority::log::AccessLog;
use countersign_authority::servers::{ServerDescription, Servers};
use countersign_authority::store::Store;
use countersign_authority::verifier::Verifier;

/// The most servers that are worked on at once.
const MAX_WORKS: usize = 32;

/// What the actions of RDS have their work done by.
#[derive(Debug)]
pub(crate) struct JobRunner {
    verifier: Arc<Verifier>,
    servers: Option<Arc<dyn Servers>>,
    /// Which of the authorities over one store this is: only its own servers are changed by it.
    name: String,
    certificate: Option<Certificate>,
    works: AtomicUsize,
    /// What is known of servers that were made without the API.
    described: Mutex<HashMap<InstanceId, ServerDescription>>,
    relays: ProxyListeners,
    /// Where proxies listen; none outside of a runtime.
    runtime: Option<Handle>,
}

/// Leave to work on one server, until it is dropped.
#[derive(Debug)]
pub(super) struct JobPermit(Arc<JobRunner>);

impl Drop for JobPermit {
    fn drop(&mut self) {
        self.0.works.fetch_sub(1, Ordering::AcqRel);
    }
}

impl JobRunner {
    /// What runs no server.
    pub(crate) fn idle(verifier: Arc<Verifier>) -> Self {
        Self {
            verifier,
            servers: None,
            name: String::new(),
            certificate: None,
            works: AtomicUsize::new(0),
            described: Mutex::default(),
            relays: ProxyListeners::default(),
            runtime: Handle::try_current().ok(),
        }
    }

    /// What runs servers, as the authority of that name; `certificate` is the PEM of the CA that signs theirs.
    pub(crate) fn running(
        verifier: Arc<Verifier>,
        servers: Arc<dyn Servers>,
        name: String,
        certificate: Option<&str>,
    ) -> Self {
        let certificate = certificate.and_then(Certificate::from_pem);
        Self { servers: Some(servers), name, certificate, ..Self::idle(verifier) }
    }

    /// Goes on with what was begun when the authority ended.
    pub(crate) fn recover(self: &Arc<Self>) {
        if self.servers.is_some() {
            recovery::begin(self);
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.verifier.store()
    }

    pub(super) fn log(&self) -> &AccessLog {
        self.verifier.log()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    pub(super) const fn relays(&self) -> &ProxyListeners {
        &self.relays
    }

    /// Where proxies listen.
    ///
    /// # Errors
    /// Where there is no runtime.
    pub(super) fn runtime(&self) -> Result<&Handle, ApiError> {
        self.runtime.as_ref().ok_or_else(|| ApiError::internal(&"there is no runtime to listen in"))
    }

    /// What runs servers.
    ///
    /// # Errors
    /// Where nothing does.
    pub(super) fn servers(&self) -> Result<&Arc<dyn Servers>, ApiError> {
        self.servers.as_ref().ok_or_else(|| {
            error(
                "InsufficientDBInstanceCapacity",
                "This authority runs no database servers. Start one with `countersign local up`, which does, and send the request there.",
            )
        })
    }

    /// Leave to work on a server that this authority runs.
    ///
    /// # Errors
    /// Where it runs none, or works on too many already.
    pub(super) fn permit(self: &Arc<Self>) -> Result<JobPermit, ApiError> {
        self.servers()?;
        let permit = JobPermit(Arc::clone(self));
        if self.works.fetch_add(1, Ordering::AcqRel) >= MAX_WORKS {
            return Err(error(
                "InsufficientDBInstanceCapacity",
                format!("{MAX_WORKS} servers are being changed: try again when one is done."),
            ));
        }
        Ok(permit)
    }

    /// Works on a thread of its own.
    pub(super) fn work(
        permit: JobPermit,
        what: &'static str,
        work: impl FnOnce(&Arc<Self>, &Arc<dyn Servers>) + Send + 'static,
    ) {
        let spawned = std::thread::Builder::new().name(format!("rds {what}")).spawn(move || {
            if let Some(servers) = &permit.0.servers {
                work(&permit.0, servers);
            }
        });
        if let Err(error) = spawned {
            // The record stays as it is, and the next start of the authority goes on with it.
            tracing::error!(%error, what, "there is no thread to work on a server");
        }
    }

    /// What is known of a server that was made without the API.
    pub(super) fn described(&self, name: &InstanceId) -> Option<ServerDescription> {
        if let Some(known) = self.known().get(name) {
            return Some(known.clone());
        }
        let described = self.servers.as_ref()?.describe(name).ok()?;
        self.known().insert(name.clone(), described.clone());
        Some(described)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<InstanceId, ServerDescription>> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
