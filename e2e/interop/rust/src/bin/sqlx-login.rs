//! sqlx: `enable_cleartext_plugin` permits a cleartext password.

use std::env::{VarError, var};
use std::error::Error;
use std::process::ExitCode;

use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Row};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match login().await {
        Ok(printed) => {
            println!("{printed}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let error: &dyn Error = error.as_ref();
            let said = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
            let number = said
                .and_then(|said| said.try_downcast_ref::<MySqlDatabaseError>())
                .map(MySqlDatabaseError::number);
            eprintln!("{} {error}", number.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

async fn login() -> Result<String, Box<dyn Error>> {
    let mut options = MySqlConnectOptions::new()
        .host(&var("MYSQL_HOST")?)
        .port(var("MYSQL_TCP_PORT")?.parse()?)
        .username(&var("MYSQL_USER")?)
        .password(&var("MYSQL_PWD")?)
        .database(&var("MYSQL_DATABASE")?)
        .enable_cleartext_plugin(true);
    options = match var("INTEROP_PLAIN") {
        Err(VarError::NotPresent) => {
            options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(var("MYSQL_SSL_CA")?)
        }
        _ => options.ssl_mode(MySqlSslMode::Disabled),
    };
    let mut connection = options.connect().await?;
    let user: String =
        sqlx::query("SELECT CURRENT_USER()").fetch_one(&mut connection).await?.try_get(0)?;
    let version: String = sqlx::query("SHOW SESSION STATUS LIKE 'Ssl_version'")
        .fetch_one(&mut connection)
        .await?
        .try_get(1)?;
    connection.close().await?;
    Ok(format!("{user} {version}"))
}
