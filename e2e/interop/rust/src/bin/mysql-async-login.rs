//! mysql_async: `enable_cleartext_plugin` permits a cleartext password.

use std::env::{VarError, var};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match login().await {
        Ok(printed) => {
            println!("{printed}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn login() -> Result<String, Box<dyn Error>> {
    let tls = match var("INTEROP_PLAIN") {
        Err(VarError::NotPresent) => Some(
            SslOpts::default()
                .with_root_certs(vec![PathBuf::from(var("MYSQL_SSL_CA")?).into()])
                .with_disable_built_in_roots(true),
        ),
        _ => None,
    };
    let options = OptsBuilder::default()
        .ip_or_hostname(var("MYSQL_HOST")?)
        .tcp_port(var("MYSQL_TCP_PORT")?.parse()?)
        .prefer_socket(false)
        .user(Some(var("MYSQL_USER")?))
        .pass(Some(var("MYSQL_PWD")?))
        .db_name(Some(var("MYSQL_DATABASE")?))
        .enable_cleartext_plugin(true)
        .ssl_opts(tls);
    let mut connection = Conn::new(options).await?;
    let user: String = connection.query_first("SELECT CURRENT_USER()").await?.ok_or("no user")?;
    let (_, version): (String, String) = connection
        .query_first("SHOW SESSION STATUS LIKE 'Ssl_version'")
        .await?
        .ok_or("no version")?;
    connection.disconnect().await?;
    Ok(format!("{user} {version}"))
}
