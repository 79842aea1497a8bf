//! Loads credentials from the profile or the default chain, then assumes the roles.

use std::time::SystemTime;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sts::error::DisplayErrorContext;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Partition;

use super::config::{CredentialsConfig, Role, SESSION_NAME};
use crate::credentials;

/// Loads credentials without any cache of the SDK, so that rotated files are read.
pub(super) async fn load(settings: &CredentialsConfig) -> Result<Credentials, Failure> {
    settings.check()?;
    let base = credentials::load(settings.profile.as_deref(), settings.region.as_ref()).await;
    let mut credentials = match (base, settings.roles.first()) {
        (Err(failure), Some(role)) => {
            return Err(Failure::new(
                failure.class,
                format!("cannot assume {}: {}", role.arn, failure.detail),
            ));
        }
        (base, _) => base?,
    };
    if settings.roles.is_empty() {
        return Ok(credentials);
    }
    let config = sts_config(settings).await?;
    for role in &settings.roles {
        credentials = assume(&config, role, &credentials).await?;
    }
    Ok(credentials)
}

/// Loads STS's settings (`AWS_ENDPOINT_URL_STS`, `AWS_USE_FIPS_ENDPOINT`, …) and region from the
/// environment and the profile.
async fn sts_config(settings: &CredentialsConfig) -> Result<SdkConfig, Failure> {
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
    let region = partition.and_then(default_region).ok_or_else(|| {
        Failure::new(
            Class::NoRegion,
            format!(
                "cannot choose a region of STS for {settings}: set the target's region, AWS_REGION \
                 or the profile's region"
            ),
        )
    })?;
    Ok(config.into_builder().region(aws_config::Region::from_static(region)).build())
}

/// Default region of STS in a partition: each region of a partition can issue credentials for all
/// of its roles.
const fn default_region(partition: Partition) -> Option<&'static str> {
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
    source: &Credentials,
) -> Result<Credentials, Failure> {
    let credentials = aws_credential_types::Credentials::new(
        source.access_key_id.as_str(),
        source.secret.expose(),
        source.session_token.as_ref().map(|token| token.expose().to_owned()),
        source.expires,
        "countersign",
    );
    let config =
        aws_sdk_sts::config::Builder::from(config).credentials_provider(credentials).build();
    let answer = aws_sdk_sts::Client::from_conf(config)
        .assume_role()
        .role_arn(role.arn.as_str())
        .role_session_name(role.session_name.as_deref().unwrap_or(SESSION_NAME))
        .set_external_id(role.external_id.clone())
        .send()
        .await
        .map_err(|error| assume_error(role, source, &error))?;
    to_credentials(&answer).ok_or_else(|| {
        Failure::new(
            Class::Protocol,
            format!("STS returned no credentials to {} for {}", source.access_key_id, role.arn),
        )
    })
}

fn to_credentials(answer: &AssumeRoleOutput) -> Option<Credentials> {
    let issued = answer.credentials()?;
    Some(Credentials {
        access_key_id: issued.access_key_id().parse().ok()?,
        secret: Secret::new(issued.secret_access_key())?,
        session_token: Some(Secret::new(issued.session_token())?),
        expires: Some(SystemTime::try_from(*issued.expiration()).ok()?),
    })
}

/// Repeats STS's message, which names the caller, and adds the remedy.
fn assume_error(role: &Role, source: &Credentials, error: &SdkError<AssumeRoleError>) -> Failure {
    let arn = &role.arn;
    let id = &source.access_key_id;
    let Some(answer) = error.as_service_error() else {
        let detail =
            format!("cannot reach STS to assume {arn} with {id}: {}", DisplayErrorContext(error));
        return Failure::new(Class::Unavailable, detail);
    };
    let code = answer.code().unwrap_or("an error without a code");
    let message = answer.message().unwrap_or_default();
    let (class, remedy) = match code {
        "AccessDenied" | "AccessDeniedException" => (
            Class::NoCredentials,
            "the role's trust policy must name that principal (and the external id, if it requires \
             one), and a policy of the principal must allow sts:AssumeRole on the role",
        ),
        "ExpiredToken" | "ExpiredTokenException" => {
            (Class::CredentialsExpired, "refresh the credentials that the role is assumed with")
        }
        "Throttling" | "ThrottlingException" => (Class::Throttled, "the request is repeated later"),
        "RegionDisabledException" => {
            (Class::Configuration, "activate STS in that region, or choose another region")
        }
        _ => (Class::NoCredentials, "check the credentials that the role is assumed with"),
    };
    Failure::new(class, format!("{id} cannot assume {arn}: {code}: {message}; {remedy}"))
}
