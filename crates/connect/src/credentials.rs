//! AWS credentials, from the whole chain of the AWS SDK: environment, profiles (keys, SSO, processes, assumed roles),
//! web identity, containers, instance metadata.

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

/// When the credentials in the environment end: what `aws configure export-credentials --format env` writes.
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// A session of fifteen minutes, the shortest that STS gives, is a moment old when its token is minted.
const SLACK: Duration = Duration::from_secs(30);

/// The credentials to sign with. A `profile` that is named goes before the environment, as in the aws CLI; one that only
/// `AWS_PROFILE` names comes after it. `region` is where STS and SSO are asked when the profile does not say.
///
/// # Errors
/// [`Class::NoCredentials`], with what each place had to say; [`Class::CredentialsExpired`] where `AWS_CREDENTIAL_EXPIRATION`
/// can't be read.
pub async fn load(profile: Option<&str>, region: Option<&Region>) -> Result<Credentials, Failure> {
    let provided = match profile {
        Some(name) => from_profile(name, region).await,
        // The environment first, by itself: the rest of the chain sets up TLS before it looks anywhere.
        None => match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
            Err(CredentialsError::CredentialsNotLoaded(_)) => from_chain(region).await,
            found => {
                return resolve(
                    &found.map_err(|error| missing(profile, &error))?,
                    environment_expiry()?,
                );
            }
        },
    };
    resolve(&provided.map_err(|error| missing(profile, &error))?, None)
}

/// Refuses credentials that have ended, or that end before a token minted `now` does: RDS looks at both when the login
/// comes, and says no more than `PAM authentication failed`.
///
/// # Errors
/// [`Class::CredentialsExpired`]
pub fn outlive_token(credentials: &Credentials, now: SystemTime) -> Result<(), Failure> {
    let Some(ends) = credentials.expires else {
        return Ok(());
    };
    let refuse = |what: String| {
        Err(Failure::new(Class::CredentialsExpired, format!("{what}; refresh them and try again")))
    };
    let id = &credentials.access_key_id;
    match ends.duration_since(now) {
        Err(_) => refuse(format!("those of {id} ended at {}", rfc3339(ends))),
        Ok(left) if left + SLACK < LIFETIME => refuse(format!(
            "those of {id} end at {}, in {} s, before a token of 900 s would",
            rfc3339(ends),
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

fn resolve(
    provided: &aws_credential_types::Credentials,
    environment_expiry: Option<SystemTime>,
) -> Result<Credentials, Failure> {
    let bad = |what: String| Failure::new(Class::NoCredentials, what);
    Ok(Credentials {
        access_key_id: provided.access_key_id().parse().map_err(|error| bad(format!("{error}")))?,
        secret: Secret::new(provided.secret_access_key())
            .ok_or_else(|| bad("the secret access key is empty".to_owned()))?,
        session_token: provided.session_token().and_then(Secret::new),
        expires: provided.expiry().or(environment_expiry),
    })
}

fn environment_expiry() -> Result<Option<SystemTime>, Failure> {
    let Some(text) = env::var(EXPIRATION).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = OffsetDateTime::parse(&text, &Rfc3339);
    let unread = |_| {
        Failure::new(
            Class::CredentialsExpired,
            format!("{EXPIRATION} is {text:?}, which is not of the form 2024-01-15T12:00:00Z"),
        )
    };
    parsed.map(|at| Some(at.into())).map_err(unread)
}

/// The whole chain of causes: which provider said what.
fn missing(profile: Option<&str>, error: &CredentialsError) -> Failure {
    let mut detail = match profile {
        Some(name) => format!("the profile {name:?} gives none"),
        None => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --profile, or run where a role is attached".to_owned()
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
mod tests;
