//! The region that a token is signed for.

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Region;

/// Where a region was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was given by name.
    Given,
    /// The database's host name carries it.
    HostName,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`.
    Environment,
    /// The profile.
    Profile,
}

/// The region to sign for: the one `given`, else the one in the host name, else that of `environment` (`AWS_REGION`,
/// `AWS_DEFAULT_REGION`), else the profile's. The host name goes before the environment because RDS takes a token only
/// of the region that the database is in.
///
/// # Errors
/// [`Class::NoRegion`] where there is none, [`Class::Configuration`] where one is malformed.
pub async fn choose(
    given: Option<&Region>,
    host: &str,
    environment: Option<&str>,
    profile: Option<&str>,
) -> Result<(Region, Origin), Failure> {
    if let Some(region) = given {
        return Ok((region.clone(), Origin::Given));
    }
    if let Some(region) = Region::of_rds_host(host) {
        return Ok((region, Origin::HostName));
    }
    let malformed = |error| Failure::new(Class::Configuration, format!("{error}"));
    if let Some(region) = environment {
        return region.parse().map(|region| (region, Origin::Environment)).map_err(malformed);
    }
    let mut provider = ProfileFileRegionProvider::builder();
    if let Some(name) = profile {
        provider = provider.profile_name(name);
    }
    match provider.build().region().await {
        Some(region) => {
            region.as_ref().parse().map(|region| (region, Origin::Profile)).map_err(malformed)
        }
        None => {
            let mut detail = format!(
                "the host {host:?} names none: pass --region, or set AWS_REGION or a region in the profile"
            );
            if host == "localhost" {
                detail.push_str("; for the local stack: eval \"$(countersign local env)\"");
            }
            Err(Failure::new(Class::NoRegion, detail))
        }
    }
}

#[cfg(test)]
mod tests;
