//! A login to MariaDB or MySQL by mysql_async.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mysql_async::{Conn, OptsBuilder, SslOpts};

use crate::Problem;
use crate::stack::Stack;

/// From the connection to the server's OK. Each shakes hands in full: the driver keeps no TLS session.
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
        // What the driver would ask the server for after the login.
        .max_allowed_packet(Some(1 << 24))
        .wait_timeout(Some(60))
        .ssl_opts(SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true));
    let start = Instant::now();
    let connection = Conn::new(options).await?;
    let took = start.elapsed();
    connection.disconnect().await?;
    Ok(took)
}
