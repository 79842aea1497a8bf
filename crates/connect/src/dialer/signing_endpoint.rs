//! The endpoint that tokens are signed for.

use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::failure::Failure;
use countersign_core::region::Region;
use tokio::sync::OnceCell;

use super::config::{DialerConfig, ServerAuth};
use crate::region::choose;
use crate::resolve::Resolver;

/// Resolves the endpoint that tokens are signed for.
#[derive(Default)]
pub(super) struct SigningEndpoint {
    /// The region of the environment or the profile, after its first use.
    region: OnceCell<Region>,
}

impl SigningEndpoint {
    pub(super) async fn resolve(
        &self,
        config: &DialerConfig,
        resolver: &Resolver,
    ) -> Result<Endpoint, Failure> {
        let (host, port) = match &config.sign_for {
            Some((host, port)) => (host.clone(), *port),
            None => {
                let host = &config.host;
                let endpoint = resolver.rds_endpoint(host).await?;
                (endpoint.unwrap_or_else(|| host.clone()), config.port)
            }
        };
        let region = match (&config.region, Region::of_rds_host(host.as_str())) {
            (Some(explicit), _) => explicit.clone(),
            (None, Some(region)) => region,
            (None, None) => {
                let choose = || choose_region(config, &host);
                self.region.get_or_try_init(choose).await?.clone()
            }
        };
        Ok(Endpoint { engine: config.engine, host, port, region })
    }

    /// Returns the region, if the configuration or the host name contains it or it was needed
    /// before.
    pub(super) fn known_region(&self, config: &DialerConfig) -> Option<Region> {
        let host = config.sign_for.as_ref().map_or(&config.host, |(host, _)| host);
        let explicit = config.region.clone();
        explicit
            .or_else(|| Region::of_rds_host(host.as_str()))
            .or_else(|| self.region.get().cloned())
    }
}

async fn choose_region(config: &DialerConfig, host: &HostName) -> Result<Region, Failure> {
    let profile = match &config.auth {
        ServerAuth::Iam(credentials) => credentials.profile.as_deref(),
        ServerAuth::Password(_) => None,
    };
    let environment = config.environment_region.as_deref();
    choose(None, host.as_str(), environment, profile).await.map(|(region, _)| region)
}
