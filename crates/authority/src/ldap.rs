//! LDAP listener, for PostgreSQL servers that can neither load a module nor use PAM.
//!
//! ```text
//! # pg_hba.conf
//! hostssl all +rds_iam 0.0.0.0/0 ldap ldapserver=127.0.0.1 ldapport=1389 \
//!     ldapprefix="cn=" ldapsuffix=",dc=orders"
//! ```
//!
//! The server sends a simple bind with the token as the password, in clear text: listen on loopback
//! only. The suffix names the instance. The server reports neither the client's address nor the use
//! of TLS, and it does not authenticate the verifier: while the verifier is down, any process that
//! binds the port can read tokens and allow logins. On a machine with other users choose a port
//! below 1024, which they cannot bind, or PAM, whose module checks the user of the verifier.
//!
//! Only simple binds with a name and a password can succeed. RFC 4513, 5.1.1 and 5.1.2, lets binds
//! without a name or password succeed as anonymous, which a server would accept as a login.

pub mod codec;
mod connection;

pub use connection::Bind;

use std::sync::Arc;

use countersign_core::failure::Failure;
use tokio::net::TcpListener;

use self::connection::Limits;
use crate::accept;

/// Maximum number of open connections. Further ones wait in the listener's queue; an idle
/// connection is closed after seconds.
const MAX_CONNECTIONS: usize = 256;

/// Serves binds with the results of `verify` until the future is dropped. A failed connection does
/// not end the loop. The future that `verify` returns is dropped when the connection's time limit
/// is reached.
pub async fn serve<V, D>(listener: TcpListener, verify: V)
where
    V: Fn(Bind) -> D + Send + Sync + 'static,
    D: Future<Output = Result<(), Failure>> + Send,
{
    let verify = Arc::new(verify);
    let handler = |stream| {
        let verify = Arc::clone(&verify);
        async move { connection::serve_connection(stream, &*verify, Limits::DEFAULT).await }
    };
    accept::serve_bounded("ldap", MAX_CONNECTIONS, || listener.accept(), handler).await;
}

#[cfg(test)]
mod tests;
