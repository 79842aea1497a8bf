//! Configuration of a dialer.

use std::path::Path;

use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::region::Region;
use countersign_wire::pg::codec;
use rustls::pki_types::ServerName;

use crate::credentials_cache::CredentialsConfig;
use crate::drive::ClientTls;
use crate::tls::{Roots, Verification, client_config};

/// Configuration of a [`Dialer`](super::Dialer): a database server and how to log in to it.
#[derive(Debug, Clone)]
pub struct DialerConfig {
    /// The engine of the server.
    pub engine: Engine,
    /// The host to connect to. The server's certificate must be valid for it.
    pub host: HostName,
    /// The port to connect to.
    pub port: u16,
    /// The host and port to sign tokens for, if they differ from `host` (or the RDS endpoint that
    /// it is an alias of) and `port`.
    pub sign_for: Option<(HostName, u16)>,
    /// The region to sign tokens for, if it is neither in the host name nor that of the environment
    /// or the profile.
    pub region: Option<Region>,
    /// The region of the environment.
    pub environment_region: Option<String>,
    /// Authentication to the server.
    pub auth: ServerAuth,
    /// Verification of the server's certificate.
    pub verification: Verification,
    /// Maximum number of logins per second; 0 means no limit.
    pub logins_per_second: u32,
}

/// Authentication to a database server.
#[derive(Debug, Clone)]
pub enum ServerAuth {
    /// A token, signed with these AWS credentials.
    Iam(CredentialsConfig),
    /// A password.
    Password(Secret),
}

impl DialerConfig {
    /// Returns `host:port`, an IPv6 address in brackets.
    pub(super) fn host_port(&self) -> String {
        let Self { host, port, .. } = self;
        if host.as_str().contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    /// Prefixes a failure with the server's product and address.
    pub(super) fn about(&self, failure: Failure) -> Failure {
        let detail = format!("{} {}: {}", self.engine.product(), self.host_port(), failure.detail);
        Failure::new(failure.class, detail)
    }

    /// Creates the TLS configuration; `None` if TLS is disabled.
    pub(super) fn client_tls(&self, roots: Option<&Path>) -> Result<Option<ClientTls>, Failure> {
        if self.verification == Verification::Disable {
            return Ok(None);
        }
        let roots = roots.map_or_else(|| Ok(Roots::built_in()), Roots::from_file)?;
        let alpn: &[&[u8]] = match self.engine {
            Engine::Postgres => &[codec::ALPN],
            Engine::Mariadb | Engine::Mysql => &[],
        };
        let name = ServerName::try_from(self.host.as_str().to_owned()).map_err(|_| {
            let host = self.host.as_str();
            let detail = format!("the host {host:?} cannot be the name in a certificate");
            Failure::new(Class::Configuration, detail)
        })?;
        Ok(Some(ClientTls { config: client_config(self.verification, &roots, alpn)?, name }))
    }
}
