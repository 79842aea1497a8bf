//! The LDAP front: for PostgreSQL servers that can't load a module, and that PAM can't be set up for.
//!
//! ```text
//! # pg_hba.conf
//! hostssl all +rds_iam 0.0.0.0/0 ldap ldapserver=127.0.0.1 ldapport=1389 ldapprefix="cn=" ldapsuffix=",dc=orders"
//! ```
//! The server binds with the token as the password, in clear: listen on loopback. The suffix says which instance the
//! server is; where the client is and whether it has TLS, the server does not tell. Nor does it check who answers:
//! whoever holds the port while the verifier is down reads tokens and lets in whom it likes. On a machine with other
//! users take a port below 1024, which they can't bind, or PAM, whose module knows the verifier by its user. Nothing but a simple bind succeeds,
//! and none without a name and a password: RFC 4513, 5.1.1 and 5.1.2, has those succeed for nobody in particular, which
//! a server would take for a login.

pub mod codec;
mod conversation;

use std::fmt;
use std::sync::Arc;

use countersign_core::failure::Failure;
use countersign_core::name::{DbUser, InstanceId};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use self::conversation::Limits;
use crate::accept;

/// How many connections are open at once; more wait in the listener's queue. One that says nothing gives its slot back
/// within seconds.
const MAX_OPEN: usize = 256;

/// A server's question about one login. `Debug` leaves the token out, and its memory is wiped on drop.
pub struct Bind {
    /// The instance that the server is, by its suffix.
    pub instance: InstanceId,
    /// The database user that wants in.
    pub user: DbUser,
    /// What came as the password: not empty, and at most [`countersign_core::token::MAX_TOKEN`] bytes of it. U+FFFD stands
    /// for what is not UTF-8 in it.
    pub token: Zeroizing<String>,
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bind")
            .field("instance", &self.instance)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Answers binds by what `verify` says until it is dropped. No connection, however bad, ends it. What `verify` returns is
/// dropped when the connection's time is over.
pub async fn serve<V, D>(listener: TcpListener, verify: V)
where
    V: Fn(Bind) -> D + Send + Sync + 'static,
    D: Future<Output = Result<(), Failure>> + Send,
{
    let verify = Arc::new(verify);
    let converse = |stream| {
        let verify = Arc::clone(&verify);
        async move { conversation::hold(stream, &*verify, Limits::USUAL).await }
    };
    accept::serve_bounded("ldap", MAX_OPEN, || listener.accept(), converse).await;
}

#[cfg(test)]
mod tests;
