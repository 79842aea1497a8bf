//! Login to PostgreSQL with tokio-postgres.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::tls::VerifyFull;
use crate::Problem;
use crate::stack::Stack;

/// Measures the time from connecting to `ReadyForQuery`.
pub(super) async fn login(stack: &Stack, user: &str, password: &str) -> Result<Duration, Problem> {
    let mut config = Config::new();
    config
        .host(stack.endpoint.host.as_str())
        .port(stack.endpoint.port)
        .user(user)
        .password(password);
    config.dbname(&stack.database).ssl_mode(SslMode::Require);
    let tls = VerifyFull::new(Path::new(&stack.ca), stack.endpoint.host.as_str())?;
    let start = Instant::now();
    let (client, connection) = config.connect(tls).await?;
    let took = start.elapsed();
    drop(client);
    connection.await?;
    Ok(took)
}
