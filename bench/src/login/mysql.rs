//! Login to MariaDB or MySQL with mysql_async.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mysql_async::{Conn, OptsBuilder, SslOpts};

use crate::Problem;
use crate::stack::Stack;

/// Measures the time from connecting to the server's OK packet. The driver does not resume TLS
/// sessions.
pub(super) async fn login(stack: &Stack, user: &str, password: &str) -> Result<Duration, Problem> {
    let roots = vec![PathBuf::from(&stack.ca).into()];
    let options = OptsBuilder::default()
        .ip_or_hostname(stack.endpoint.host.as_str())
        .tcp_port(stack.endpoint.port)
        .prefer_socket(false)
        .user(Some(user))
        .pass(Some(password))
        .db_name(Some(&stack.database))
        .enable_cleartext_plugin(true)
        // Values that the driver would otherwise query after the login.
        .max_allowed_packet(Some(1 << 24))
        .wait_timeout(Some(60))
        .ssl_opts(SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true));
    let start = Instant::now();
    let connection = Conn::new(options).await?;
    let took = start.elapsed();
    connection.disconnect().await?;
    Ok(took)
}
