//! Token generator of the AWS SDK, with static credentials and all tokens in one future.

use std::hint::black_box;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_types::SdkConfig;
use aws_types::region::Region;
use tokio::runtime::Runtime;

use crate::Problem;
use crate::paired::Side;
use crate::token::{HOST, KEY_ID, PORT, REGION, SECRET, USER};

pub(super) struct Sdk {
    runtime: Runtime,
    generator: AuthTokenGenerator,
    configuration: SdkConfig,
}

impl Sdk {
    pub(super) fn new(session: Option<&str>) -> Result<Self, Problem> {
        let credentials =
            Credentials::new(KEY_ID, SECRET, session.map(str::to_owned), None, "bench");
        let configuration = SdkConfig::builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region(Region::new(REGION))
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, generator: generator()?, configuration })
    }

    /// Measures tokens with one generator each.
    pub(super) fn from_names(&self) -> Side<'_> {
        Side::batch(|count| {
            self.runtime.block_on(async {
                for _ in 0..count {
                    black_box(generator()?.auth_token(&self.configuration).await?);
                }
                Ok(())
            })
        })
    }

    /// Measures tokens with one generator for all.
    pub(super) fn reused(&self) -> Side<'_> {
        Side::batch(|count| {
            self.runtime.block_on(async {
                for _ in 0..count {
                    black_box(self.generator.auth_token(&self.configuration).await?);
                }
                Ok(())
            })
        })
    }
}

fn generator() -> Result<AuthTokenGenerator, Problem> {
    let config = Config::builder()
        .hostname(HOST)
        .port(u64::from(PORT))
        .username(USER)
        .region(Region::new(REGION))
        .build()?;
    Ok(AuthTokenGenerator::new(config))
}
