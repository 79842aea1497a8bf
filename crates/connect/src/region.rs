//! The region that a token is signed for.

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Region;

/// Source of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionSource {
    /// The caller's argument.
    Explicit,
    /// The database's host name, which contains it.
    HostName,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`.
    Environment,
    /// The profile.
    Profile,
}

/// Chooses the region to sign for: `explicit`, else the region in the host name, else `environment`
/// (the value of `AWS_REGION` or `AWS_DEFAULT_REGION`), else the profile's. The host name takes
/// precedence over the environment because RDS accepts a token of the database's own region only.
///
/// # Errors
/// [`Class::NoRegion`] if none is found, [`Class::Configuration`] if the region is malformed.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), countersign_core::failure::Failure> {
/// use countersign_connect::region::{RegionSource, choose};
///
/// let host = "orders.abc123.eu-central-1.rds.amazonaws.com";
/// let (region, source) = choose(None, host, Some("us-east-1"), None).await?;
/// assert_eq!((region.as_str(), source), ("eu-central-1", RegionSource::HostName));
/// # Ok(())
/// # }
/// ```
pub async fn choose(
    explicit: Option<&Region>,
    host: &str,
    environment: Option<&str>,
    profile: Option<&str>,
) -> Result<(Region, RegionSource), Failure> {
    if let Some(region) = explicit {
        return Ok((region.clone(), RegionSource::Explicit));
    }
    if let Some(region) = Region::of_rds_host(host) {
        return Ok((region, RegionSource::HostName));
    }
    let malformed = |error| Failure::new(Class::Configuration, format!("{error}"));
    if let Some(region) = environment {
        return region.parse().map(|region| (region, RegionSource::Environment)).map_err(malformed);
    }
    let mut provider = ProfileFileRegionProvider::builder();
    if let Some(name) = profile {
        provider = provider.profile_name(name);
    }
    match provider.build().region().await {
        Some(region) => {
            region.as_ref().parse().map(|region| (region, RegionSource::Profile)).map_err(malformed)
        }
        None => {
            let mut detail = format!(
                "the host name {host:?} contains no region: pass --region, or set AWS_REGION or a \
                 region in the profile"
            );
            if host == "localhost" {
                detail.push_str("; for the local stack: eval \"$(countersign local env)\"");
            }
            Err(Failure::new(Class::NoRegion, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::failure::Class;

    use super::{RegionSource, choose};

    #[tokio::test]
    async fn explicit_then_host_name_then_environment() {
        let tokyo = "ap-northeast-1".parse().unwrap();
        let rds = "db.abc.cn-north-1.rds.amazonaws.com.cn";
        let chosen = |given, host, environment| async move {
            choose(given, host, environment, None)
                .await
                .map(|(region, origin)| (region.to_string(), origin))
                .map_err(|failure| failure.class)
        };
        assert_eq!(
            chosen(Some(&tokyo), rds, Some("us-east-1")).await,
            Ok(("ap-northeast-1".to_owned(), RegionSource::Explicit))
        );
        assert_eq!(
            chosen(None, rds, Some("us-east-1")).await,
            Ok(("cn-north-1".to_owned(), RegionSource::HostName))
        );
        assert_eq!(
            chosen(None, "localhost", Some("us-east-1")).await,
            Ok(("us-east-1".to_owned(), RegionSource::Environment))
        );
        assert_eq!(chosen(None, "localhost", Some("nowhere")).await, Err(Class::Configuration));
    }
}
