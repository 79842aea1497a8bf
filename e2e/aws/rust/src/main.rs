//! The AWS SDK for Rust, configured by the environment only. Runs the verbs in order, and
//! prints one line for each.
//!
//! usage: aws-sdk-client INSTANCE VERB...

use std::env::{args, var};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use aws_sdk_rds::client::Waiters as _;
use aws_sdk_rds::error::ProvideErrorMetadata;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

const USER: &str = "app";

/// Error, with AWS's error code if AWS returned one.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = args().skip(1);
    let mut client = Client {
        instance: words.next().unwrap_or_default(),
        config: aws_config::load_from_env().await,
        // An existing server; `describe` replaces it.
        host: var("PGHOST").unwrap_or_default(),
        port: var("PGPORT").ok().and_then(|port| port.parse().ok()).unwrap_or_default(),
        password: String::new(),
    };
    for verb in words {
        match client.does(&verb).await {
            Ok(output) => println!("{verb} {output}"),
            Err(failure) => {
                eprintln!("{verb}: {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Formats an SDK error with AWS's error code first.
fn sdk_error(error: impl ProvideErrorMetadata + Error) -> Failure {
    format!("{}: {}", error.code().unwrap_or("SdkError"), with_causes(&error)).into()
}

/// Formats an error with its causes.
fn with_causes(error: &dyn Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}

struct Client {
    instance: String,
    config: SdkConfig,
    host: String,
    port: u16,
    password: String,
}

impl Client {
    async fn does(&mut self, verb: &str) -> Result<String, Failure> {
        match verb {
            "identity" => self.identity().await,
            "assume" => self.assume().await,
            "create" => self.create().await,
            "wait" => self.wait().await,
            "describe" => self.describe().await,
            "prepare" => self.prepare().await,
            "token" => self.token().await,
            "login" => self.login().await,
            "delete" => self.delete().await,
            _ => Err("unknown verb".into()),
        }
    }

    fn rds(&self) -> aws_sdk_rds::Client {
        aws_sdk_rds::Client::new(&self.config)
    }

    async fn identity(&self) -> Result<String, Failure> {
        let found = aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .send()
            .await
            .map_err(sdk_error)?;
        Ok(found.arn.unwrap_or_default())
    }

    async fn assume(&mut self) -> Result<String, Failure> {
        let found = aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .send()
            .await
            .map_err(sdk_error)?;
        let role = format!("arn:aws:iam::{}:role/app-admin", found.account.unwrap_or_default());
        let provider = AssumeRoleProvider::builder(role)
            .session_name("interop")
            .configure(&self.config)
            .build()
            .await;
        let session = aws_sdk_sts::config::SharedCredentialsProvider::new(provider);
        self.config = self.config.to_builder().credentials_provider(session).build();
        self.identity().await
    }

    async fn create(&self) -> Result<String, Failure> {
        let wanted = self
            .rds()
            .create_db_instance()
            .db_instance_identifier(&self.instance)
            .engine("postgres");
        let wanted = wanted
            .db_instance_class("db.t4g.micro")
            .allocated_storage(20)
            .enable_iam_database_authentication(true);
        let wanted = wanted.master_username("master").master_user_password(var("MASTER_PASSWORD")?);
        let created = wanted.send().await.map_err(sdk_error)?;
        Ok(created.db_instance.and_then(|instance| instance.db_instance_status).unwrap_or_default())
    }

    /// Waits for the instance. The SDK's waiter polls at random intervals, which cannot be
    /// configured.
    async fn wait(&self) -> Result<String, Failure> {
        let waiter =
            self.rds().wait_until_db_instance_available().db_instance_identifier(&self.instance);
        waiter.wait(Duration::from_secs(120)).await.map_err(|error| with_causes(&error))?;
        Ok("available".to_owned())
    }

    async fn describe(&mut self) -> Result<String, Failure> {
        let answer = self
            .rds()
            .describe_db_instances()
            .db_instance_identifier(&self.instance)
            .send()
            .await
            .map_err(sdk_error)?;
        let found = answer
            .db_instances
            .unwrap_or_default()
            .into_iter()
            .next()
            .ok_or("instance not found")?;
        let endpoint = found.endpoint.ok_or("instance has no endpoint")?;
        self.host = endpoint.address.ok_or("endpoint has no address")?;
        self.port = endpoint.port.ok_or("endpoint has no port")?.try_into()?;
        let id = found.dbi_resource_id.unwrap_or_default();
        Ok(format!(
            "{}:{} {id} iam={}",
            self.host,
            self.port,
            found.iam_database_authentication_enabled.unwrap_or_default()
        ))
    }

    async fn prepare(&self) -> Result<String, Failure> {
        let mut connection = self.connect("master", &var("MASTER_PASSWORD")?).await?;
        sqlx::query("CREATE USER app").execute(&mut connection).await?;
        sqlx::query("GRANT rds_iam TO app").execute(&mut connection).await?;
        connection.close().await?;
        Ok(USER.to_owned())
    }

    async fn token(&mut self) -> Result<String, Failure> {
        let wanted =
            Config::builder().hostname(&self.host).port(self.port.into()).username(USER).build()?;
        let token = AuthTokenGenerator::new(wanted)
            .auth_token(&self.config)
            .await
            .map_err(|error| error.to_string())?;
        self.password = token.as_str().to_owned();
        Ok(self.password.len().to_string())
    }

    async fn login(&self) -> Result<String, Failure> {
        let mut connection = self.connect(USER, &self.password).await?;
        let user = sqlx::query("SELECT current_user::text")
            .fetch_one(&mut connection)
            .await?
            .try_get(0)?;
        connection.close().await?;
        Ok(user)
    }

    async fn delete(&self) -> Result<String, Failure> {
        let wanted = self
            .rds()
            .delete_db_instance()
            .db_instance_identifier(&self.instance)
            .skip_final_snapshot(true);
        let deleted = wanted.send().await.map_err(sdk_error)?;
        Ok(deleted.db_instance.and_then(|instance| instance.db_instance_status).unwrap_or_default())
    }

    async fn connect(&self, user: &str, password: &str) -> Result<PgConnection, Failure> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(user)
            .password(password);
        let options = options
            .database("postgres")
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(var("COUNTERSIGN_CA")?);
        Ok(options.connect().await?)
    }
}
