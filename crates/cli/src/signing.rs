//! Credentials, region and token from flags and environment.

use std::env;
use std::time::SystemTime;

use countersign_connect::credentials;
use countersign_connect::region::{self, RegionSource};
use countersign_core::credentials::Credentials;
use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine, InvalidName};
use countersign_core::proof::StsEndpoint;
use countersign_core::region::Region;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{AuthToken, mint};

use crate::output;
use crate::process::runtime;

/// Parses a host. An IPv6 address may be enclosed in brackets.
pub(crate) fn host(text: &str) -> Result<HostName, InvalidName> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse()
}

/// Flags that select credentials and region.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Signing {
    /// AWS region of the database [default: from the host name, then AWS_REGION, then the profile]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<Region>,
    /// AWS profile of the credentials [default: the AWS SDK's default credentials chain]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

/// Credentials and STS endpoint of a proof of identity.
#[derive(Debug)]
pub(crate) struct ProofSigner {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: StsEndpoint,
    pub(crate) region: Region,
}

/// Credentials and database endpoint of a token.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Endpoint,
}

impl Signing {
    /// Resolves region and credentials for a database.
    pub(crate) fn signer(
        &self,
        engine: Engine,
        host: &HostName,
        port: u16,
    ) -> Result<Signer, Failure> {
        let environment = environment_region();
        let profile = self.profile.as_deref();
        runtime()?.block_on(async {
            let (region, origin) = region::choose(
                self.region.as_ref(),
                host.as_str(),
                environment.as_deref(),
                profile,
            )
            .await?;
            if let (RegionSource::Explicit, Some(other)) =
                (origin, Region::of_rds_host(host.as_str()).filter(|other| *other != region))
            {
                output::note(&format!(
                    "note: signing for {region} as requested, but the host is in {other}, where \
                     RDS accepts only tokens for {other}"
                ));
            }
            if let (RegionSource::HostName, Some(other)) =
                (origin, environment.as_deref().filter(|other| *other != region.as_str()))
            {
                output::note(&format!(
                    "note: signing for {region}, from the host name, not for \
                 {other}, from the environment"
                ));
            }
            let credentials = credentials::load(profile, Some(&region)).await?;
            let endpoint = Endpoint { engine, host: host.clone(), port, region };
            Ok(Signer { credentials, endpoint })
        })
    }

    /// Resolves region, credentials and STS endpoint for a proof of identity.
    pub(crate) fn proof_signer(&self) -> Result<ProofSigner, Failure> {
        let (environment, profile) = (environment_region(), self.profile.as_deref());
        runtime()?.block_on(async {
            let chosen =
                region::choose(self.region.as_ref(), "", environment.as_deref(), profile).await;
            let (region, _) = chosen.map_err(|failure| match failure.class {
                Class::NoRegion => Failure::new(
                    Class::NoRegion,
                    "cannot choose an STS endpoint: no region; pass \
                     --region, or set AWS_REGION or a region in the profile",
                ),
                _ => failure,
            })?;
            let endpoint = match sts_url() {
                Some(url) => StsEndpoint::configured(&url)
                    .map_err(|error| Failure::new(Class::Configuration, error.to_string()))?,
                None => StsEndpoint::regional(&region),
            };
            Ok(ProofSigner {
                credentials: credentials::load(profile, Some(&region)).await?,
                endpoint,
                region,
            })
        })
    }
}

fn non_empty(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn environment_region() -> Option<String> {
    non_empty("AWS_REGION").or_else(|| non_empty("AWS_DEFAULT_REGION"))
}

/// Returns the STS endpoint URL that the environment sets.
/// Source: AWS SDKs and Tools reference guide, "Service-specific endpoints".
fn sts_url() -> Option<String> {
    if non_empty("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    non_empty("AWS_ENDPOINT_URL_STS").or_else(|| non_empty("AWS_ENDPOINT_URL"))
}

impl Signer {
    /// Mints a token for `user` dated `now`.
    ///
    /// # Errors
    /// If the credentials expire before the token.
    pub(crate) fn token(&self, user: &DbUser, now: SystemTime) -> Result<AuthToken, Failure> {
        credentials::check_lifetime(&self.credentials, now)?;
        Ok(mint(&self.credentials, &self.endpoint, user, &KeyCache::default(), now))
    }
}
