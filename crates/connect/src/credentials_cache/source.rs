//! Loading credentials: from the profile or the chain, then through the roles.

use std::time::SystemTime;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sts::error::DisplayErrorContext;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Partition;

use super::CredentialsConfig;
use super::role::{Role, SESSION_NAME};
use crate::credentials;

/// Asks every place anew: nothing of the SDK is kept between two loads, so rotated files are seen.
pub(super) async fn load(settings: &CredentialsConfig) -> Result<Credentials, Failure> {
    settings.check()?;
    let base = credentials::load(settings.profile.as_deref(), settings.region.as_ref()).await;
    let mut credentials = match (base, settings.roles.first()) {
        (Err(failure), Some(role)) => {
            return Err(Failure::new(
                failure.class,
                format!("to assume {} with: {}", role.arn, failure.detail),
            ));
        }
        (base, _) => base?,
    };
    if settings.roles.is_empty() {
        return Ok(credentials);
    }
    let config = configure(settings).await?;
    for role in &settings.roles {
        credentials = assume(&config, role, &credentials).await?;
    }
    Ok(credentials)
}

/// What the environment and the profile say of STS (`AWS_ENDPOINT_URL_STS`, `AWS_USE_FIPS_ENDPOINT`, …), and the region.
async fn configure(settings: &CredentialsConfig) -> Result<SdkConfig, Failure> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).no_credentials();
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(aws_config::Region::new(region.as_str().to_owned()));
    }
    let config = loader.load().await;
    if config.region().is_some() {
        return Ok(config);
    }
    let partition = settings.roles.first().and_then(|role| role.arn.partition());
    let region = partition.and_then(main_region).ok_or_else(|| {
        Failure::new(
            Class::NoRegion,
            format!("STS has to be asked for {settings}: set the target's region, AWS_REGION or the profile's region"),
        )
    })?;
    Ok(config.into_builder().region(aws_config::Region::from_static(region)).build())
}

/// Where STS is asked for a role when nobody says: every region of a partition knows every role in it.
const fn main_region(partition: Partition) -> Option<&'static str> {
    match partition {
        Partition::Aws => Some("us-east-1"),
        Partition::China => Some("cn-north-1"),
        Partition::GovCloud => Some("us-gov-west-1"),
        Partition::EuropeanSovereign => Some("eusc-de-east-1"),
        _ => None,
    }
}

async fn assume(
    config: &SdkConfig,
    role: &Role,
    with: &Credentials,
) -> Result<Credentials, Failure> {
    let provided = aws_credential_types::Credentials::new(
        with.access_key_id.as_str(),
        with.secret.expose(),
        with.session_token.as_ref().map(|token| token.expose().to_owned()),
        with.expires,
        "countersign",
    );
    let config = aws_sdk_sts::config::Builder::from(config).credentials_provider(provided).build();
    let answer = aws_sdk_sts::Client::from_conf(config)
        .assume_role()
        .role_arn(role.arn.as_str())
        .role_session_name(role.session_name.as_deref().unwrap_or(SESSION_NAME))
        .set_external_id(role.external_id.clone())
        .send()
        .await
        .map_err(|error| refused(role, with, &error))?;
    resolve(&answer).ok_or_else(|| {
        Failure::new(
            Class::Protocol,
            format!("STS let {} assume {} and gave no credentials", with.access_key_id, role.arn),
        )
    })
}

fn resolve(answer: &AssumeRoleOutput) -> Option<Credentials> {
    let given = answer.credentials()?;
    Some(Credentials {
        access_key_id: given.access_key_id().parse().ok()?,
        secret: Secret::new(given.secret_access_key())?,
        session_token: Some(Secret::new(given.session_token())?),
        expires: Some(SystemTime::try_from(*given.expiration()).ok()?),
    })
}

/// In STS's own words, which name who asked, and what to look at.
fn refused(role: &Role, with: &Credentials, error: &SdkError<AssumeRoleError>) -> Failure {
    let arn = &role.arn;
    let id = &with.access_key_id;
    let Some(answer) = error.as_service_error() else {
        let detail =
            format!("STS can't be asked for {arn} with {id}: {}", DisplayErrorContext(error));
        return Failure::new(Class::Unavailable, detail);
    };
    let code = answer.code().unwrap_or("an error without a code");
    let message = answer.message().unwrap_or_default();
    let (class, advice) = match code {
        "AccessDenied" | "AccessDeniedException" => (
            Class::NoCredentials,
            "the role's trust policy has to name whoever asks (and the external id, where it wants one), and a policy of theirs has to \
             allow sts:AssumeRole on it",
        ),
        "ExpiredToken" | "ExpiredTokenException" => {
            (Class::CredentialsExpired, "refresh the credentials that the role is assumed with")
        }
        "Throttling" | "ThrottlingException" => (Class::Throttled, "STS is asked again later"),
        "RegionDisabledException" => {
            (Class::Configuration, "activate STS in that region, or name another one")
        }
        _ => (Class::NoCredentials, "check the credentials that the role is assumed with"),
    };
    Failure::new(class, format!("{id} may not assume {arn}: {code}: {message}; {advice}"))
}
