//! State that every request shares.

use std::sync::Arc;

use countersign_authority::oidc::discovery::IssuerKeyCache;
use countersign_authority::oidc::fetch::Fetcher;
use countersign_authority::servers::Servers;
use countersign_authority::store::Store;
use countersign_authority::verifier::Verifier;

use crate::rds::job_runner::JobRunner;

/// State of the API: the store, the keys of OpenID Connect issuers, and the jobs of RDS.
#[derive(Debug)]
pub struct Api {
    pub(crate) verifier: Arc<Verifier>,
    /// Keys of other OpenID Connect issuers.
    pub(crate) issuers: IssuerKeyCache,
    /// URL of the authority's own OpenID Connect issuer.
    pub(crate) issuer: String,
    /// Jobs of the RDS API.
    pub(crate) jobs: Arc<JobRunner>,
}

impl Api {
    /// Creates an API over the store of `verifier`. `issuer` is the URL of the authority's own
    /// OpenID Connect issuer; `fetcher` reads the keys of others. No database server is run: see
    /// [`Self::running`].
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, fetcher: Fetcher, issuer: &str) -> Self {
        let jobs = Arc::new(JobRunner::idle(Arc::clone(&verifier)));
        Self { verifier, issuers: IssuerKeyCache::new(fetcher), issuer: issuer.to_owned(), jobs }
    }

    /// Adds `servers`, which run database servers for the RDS API, and resumes the jobs that a
    /// previous process with this `name` began. Each authority over one store needs a name of its
    /// own. `ca` is the certificate (PEM) of the CA that signs the servers' certificates.
    #[must_use]
    pub fn running(self, servers: Arc<dyn Servers>, name: String, ca: Option<&str>) -> Self {
        let jobs = Arc::new(JobRunner::running(Arc::clone(&self.verifier), servers, name, ca));

        Self { jobs, ..self }
    }

    pub(crate) fn store(&self) -> &Store {
        self.verifier.store()
    }
}
