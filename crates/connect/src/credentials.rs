//! Loads AWS credentials from the default chain of the AWS SDK: environment, profiles (keys, SSO,
//! processes, assumed roles), web identity, containers, instance metadata.

use std::env;
use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Region;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::LIFETIME;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Expiry of the credentials in the environment, as `aws configure export-credentials --format env`
/// writes it.
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// Tolerated difference between the lifetimes of credentials and token: the shortest session of STS
/// lasts 15 minutes, as a token does, and begins a moment earlier.
const SLACK: Duration = Duration::from_secs(30);

/// Loads the credentials to sign with. An explicit `profile` takes precedence over the environment,
/// as in the AWS CLI; a profile that only `AWS_PROFILE` names does not. `region` is the region of
/// STS and SSO if the profile has none.
///
/// # Errors
/// - [`Class::NoCredentials`] with the error of each provider.
/// - [`Class::CredentialsExpired`] if `AWS_CREDENTIAL_EXPIRATION` is malformed.
pub async fn load(profile: Option<&str>, region: Option<&Region>) -> Result<Credentials, Failure> {
    let provided = match profile {
        Some(name) => from_profile(name, region).await,
        // The environment is read first and alone: the rest of the chain sets up TLS before it
        // tries any provider.
        None => match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
            Err(CredentialsError::CredentialsNotLoaded(_)) => from_chain(region).await,
            found => {
                return to_credentials(
                    &found.map_err(|error| missing(profile, &error))?,
                    environment_expiry()?,
                );
            }
        },
    };
    to_credentials(&provided.map_err(|error| missing(profile, &error))?, None)
}

/// Rejects credentials that have expired, or that expire before a token minted `now` does. RDS
/// checks both at the login, and reports no more than `PAM authentication failed`.
///
/// # Errors
/// [`Class::CredentialsExpired`] in both cases.
pub fn check_lifetime(credentials: &Credentials, now: SystemTime) -> Result<(), Failure> {
    let Some(expires) = credentials.expires else {
        return Ok(());
    };
    let reject = |what: String| {
        Err(Failure::new(Class::CredentialsExpired, format!("{what}; refresh them and try again")))
    };
    let id = &credentials.access_key_id;
    match expires.duration_since(now) {
        Err(_) => reject(format!("those of {id} expired at {}", rfc3339(expires))),
        Ok(left) if left + SLACK < LIFETIME => reject(format!(
            "those of {id} expire at {}, in {} s, before a token with its 900 s",
            rfc3339(expires),
            left.as_secs()
        )),
        Ok(_) => Ok(()),
    }
}

async fn from_profile(
    name: &str,
    region: Option<&Region>,
) -> Result<aws_credential_types::Credentials, CredentialsError> {
    let region = region.map(|region| aws_config::Region::new(region.as_str().to_owned()));
    let config = ProviderConfig::default().with_region(region);
    ProfileFileCredentialsProvider::builder()
        .configure(&config)
        .profile_name(name)
        .build()
        .provide_credentials()
        .await
}

async fn from_chain(
    region: Option<&Region>,
) -> Result<aws_credential_types::Credentials, CredentialsError> {
    let mut chain = DefaultCredentialsChain::builder();
    if let Some(region) = region {
        chain = chain.region(aws_config::Region::new(region.as_str().to_owned()));
    }
    chain.build().await.provide_credentials().await
}

fn to_credentials(
    provided: &aws_credential_types::Credentials,
    environment_expiry: Option<SystemTime>,
) -> Result<Credentials, Failure> {
    let invalid = |what: String| Failure::new(Class::NoCredentials, what);
    Ok(Credentials {
        access_key_id: provided
            .access_key_id()
            .parse()
            .map_err(|error| invalid(format!("{error}")))?,
        secret: Secret::new(provided.secret_access_key())
            .ok_or_else(|| invalid("the secret access key is empty".to_owned()))?,
        session_token: provided.session_token().and_then(Secret::new),
        expires: provided.expiry().or(environment_expiry),
    })
}

fn environment_expiry() -> Result<Option<SystemTime>, Failure> {
    let Some(text) = env::var(EXPIRATION).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = OffsetDateTime::parse(&text, &Rfc3339);
    let malformed = |_| {
        Failure::new(
            Class::CredentialsExpired,
            format!("cannot read {EXPIRATION}={text:?}: write it as 2024-01-15T12:00:00Z"),
        )
    };
    parsed.map(|at| Some(at.into())).map_err(malformed)
}

/// Formats the whole chain of causes: each provider and its error.
fn missing(profile: Option<&str>, error: &CredentialsError) -> Failure {
    let mut detail = match profile {
        Some(name) => format!("the profile {name:?} provides none"),
        None => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --profile, or \
             run where a role is attached"
                .to_owned()
        }
    };
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // The SDK's outer errors often repeat the inner ones.
        if !detail.contains(&text) {
            detail = format!("{detail}: {text}");
        }
        cause = error.source();
    }
    Failure::new(Class::NoCredentials, detail)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use countersign_core::credentials::{Credentials, Secret};
    use countersign_core::failure::Class;

    use super::check_lifetime;

    fn expiring_at(expires: Option<SystemTime>) -> Credentials {
        Credentials {
            access_key_id: "ASIAIOSFODNN7EXAMPLE".parse().unwrap(),
            secret: Secret::new("s").unwrap(),
            session_token: None,
            expires,
        }
    }

    #[test]
    fn credentials_must_live_as_long_as_the_token() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let check = |left: u64| {
            check_lifetime(&expiring_at(Some(now + Duration::from_secs(left))), now)
                .map_err(|failure| failure.class)
        };
        assert_eq!(check_lifetime(&expiring_at(None), now), Ok(()));
        assert_eq!(check(900), Ok(()));
        assert_eq!(check(870), Ok(()), "a session of 15 minutes, 30 s after its start");
        assert_eq!(check(869), Err(Class::CredentialsExpired));
        let ended =
            check_lifetime(&expiring_at(Some(now - Duration::from_secs(1))), now).unwrap_err();
        assert!(ended.detail.contains("expired at 2023-11-14T22:13:19.000Z"), "{}", ended.detail);
    }
}
