//! Resolution of a target: its configuration, flags and defaults become its settings.

use std::net::SocketAddr;
use std::time::Duration;

use countersign_config_file::DiagnosticSink;
use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::endpoint::HostName;
use countersign_core::name::Engine;
use countersign_proxy::settings::{
    ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, TargetSessionAttrs, TargetSettings,
};

use super::listeners::ListenerAllocator;
use crate::proxy::config::{ServerAuthConfig, TargetConfig};
use crate::proxy::options::Options;

/// Default of `logins-per-second`: RDS rejects logins above about 200 per second.
/// Source: "Limitations for IAM database authentication" in the RDS user guide.
const LOGINS_PER_SECOND: u32 = 150;

/// Default timeout of connecting, login included: RDS's PAM module alone times out after about ten
/// seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Default of `min-idle`: the second of two consecutive clients does not wait for a login.
const MIN_IDLE: usize = 1;

const MAX_IDLE: usize = 20;
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Default of `max-lifetime`, as in HikariCP (`maxLifetime`): long enough for reuse, short enough
/// to follow changes of DNS.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Resolves the targets of one plan.
#[derive(Debug)]
pub(super) struct TargetResolver<'a> {
    pub(super) flags: &'a Options,
    /// Options of the file's `[proxy]` table.
    pub(super) defaults: &'a Options,
    /// Flags, completed with `defaults`.
    pub(super) options: &'a Options,
    pub(super) is_only_target: bool,
    pub(super) sink: &'a DiagnosticSink,
}

impl TargetResolver<'_> {
    /// Resolves a target. Returns none if its engine or host is missing, which is already reported.
    pub(super) fn resolve(
        &self,
        config: &TargetConfig,
        listeners: &mut ListenerAllocator<'_>,
    ) -> Option<TargetSettings> {
        let (engine, host) = (config.engine?, config.host.clone()?);
        let listen = listeners.assign(config, engine);
        self.check_unique(config, &listen, listeners);
        let max_connections = config.max_connections.unwrap_or(0);
        Some(TargetSettings {
            name: config.name.clone(),
            engine,
            host,
            port: config.port.unwrap_or(engine.default_port()),
            sign: self.sign(config, engine),
            region: self.select(config, &config.region, |options| options.region.clone()),
            user: config.user.clone(),
            database: config.database.clone(),
            server_auth: self.server_auth(config),
            tls: self.tls(config),
            target_session_attrs: config.target_session_attrs.unwrap_or(TargetSessionAttrs::Any),
            client_auth: self.client_auth(config, &listen),
            listen,
            client_tls: config.client_tls.clone(),
            pool: self.pool(config),
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            logins_per_second: config.logins_per_second.unwrap_or(LOGINS_PER_SECOND),
            connect_timeout: config.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            session_timeout: config.session_timeout,
        })
    }

    /// Selects a value among the target, the flags and the file's `[proxy]` table.
    fn select<T: Clone>(
        &self,
        config: &TargetConfig,
        own: &Option<T>,
        of: impl Fn(&Options) -> Option<T>,
    ) -> Option<T> {
        config.source.select(own.clone(), of(self.flags), of(self.defaults))
    }

    /// Reports listeners that another target uses.
    fn check_unique(
        &self,
        config: &TargetConfig,
        listen: &[Listen],
        listeners: &mut ListenerAllocator<'_>,
    ) {
        let locations = config.listen.iter().flatten().map(|spec| &spec.location);
        let locations = locations.chain(std::iter::repeat(&config.location));
        for (listen, location) in listen.iter().zip(locations) {
            if let Some(other) = listeners.claim(&config.name, listen) {
                self.sink.add(location, format!("the target {other} already listens there"));
            }
        }
    }

    fn sign(&self, config: &TargetConfig, engine: Engine) -> Option<(HostName, u16)> {
        if self.options.sign_host.is_some() && config.sign_host.is_none() && !self.is_only_target {
            self.sink.add(
                &config.location,
                "sign-host applies to one target: set it for each, in its table or as ?sign-host=",
            );
        }
        let sign = self.select(config, &config.sign_host, |options| options.sign_host.clone())?;
        Some((sign.host, sign.port.unwrap_or(engine.default_port())))
    }

    fn server_auth(&self, config: &TargetConfig) -> ServerAuth {
        if let ServerAuthConfig::Password(password) = &config.server_auth {
            return ServerAuth::Password(std::sync::Arc::clone(password));
        }
        let credentials = credentials_cache::CredentialsConfig {
            profile: self.select(config, &config.profile, |options| options.profile.clone()),
            roles: self.select(config, &config.roles, role_chain).unwrap_or_default(),
            region: self.select(config, &config.region, |options| options.region.clone()),
        };
        if let Err(failure) = credentials.check() {
            // The target's own roles were checked when its table was parsed.
            if config.roles.as_ref() != Some(&credentials.roles) {
                self.sink.add(&config.location, failure.detail);
            }
        }
        ServerAuth::Iam(credentials)
    }

    fn tls(&self, config: &TargetConfig) -> ServerTls {
        let (location, verification) = match &config.tls {
            Some((location, verification)) => (location, *verification),
            None => (&config.location, Verification::VerifyFull),
        };
        if verification == Verification::Disable && config.server_auth == ServerAuthConfig::Iam {
            self.sink.add(
                location,
                "tokens would be sent in clear text: remove tls, or write at least require",
            );
        }
        if config.ca_file.is_some()
            && matches!(verification, Verification::Disable | Verification::Require)
        {
            self.sink.add(
                location,
                "ca-file has no effect without verification: remove tls, or write verify-ca",
            );
        }
        ServerTls { verification, ca_file: config.ca_file.clone() }
    }

    fn client_auth(&self, config: &TargetConfig, listen: &[Listen]) -> ClientAuth {
        let (location, auth) = match &config.client_auth {
            Some((location, auth)) => (location, auth.clone()),
            None => (&config.location, ClientAuth::Trust),
        };
        let open_to_network = self
            .select(config, &config.open_to_network, |options| options.open_to_network)
            == Some(true);
        for listen in listen {
            match (&auth, listen) {
                (ClientAuth::Trust, Listen::Tcp(address))
                    if !address.ip().is_loopback() && !open_to_network =>
                {
                    self.sink.add(location, exposed(*address))
                }
                (ClientAuth::Users(_), Listen::Tcp(address)) => self.sink.add(
                    location,
                    format!(
                        "users require Unix sockets, which identify the client's system user: \
                         {address} is a TCP listener"
                    ),
                ),
                _ => {}
            }
        }
        if auth == ClientAuth::Trust && open_to_network { ClientAuth::TrustNetwork } else { auth }
    }

    fn pool(&self, config: &TargetConfig) -> PoolSettings {
        let pool = config.pool.unwrap_or_default();
        let lazy = self.options.lazy_refresh == Some(true);
        PoolSettings {
            min_idle: if lazy { 0 } else { pool.min_idle.unwrap_or(MIN_IDLE) },
            reuse: pool.reuse.unwrap_or(false),
            max_idle: pool.max_idle.unwrap_or(MAX_IDLE),
            idle_timeout: pool.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            max_lifetime: pool.max_lifetime.unwrap_or(MAX_LIFETIME),
        }
    }
}

fn exposed(address: SocketAddr) -> String {
    format!(
        "clients of other machines would be accepted at {address} without a password: set \
         client-auth = {{ password-file = \"PATH\" }} (in a URL: client-password-file=PATH), or \
         allow it with open-to-network"
    )
}

/// Returns the roles of flags or of `[proxy]`, if any. The external id belongs to the last.
fn role_chain(options: &Options) -> Option<Vec<credentials_cache::Role>> {
    let last = options.assume_role.len().checked_sub(1)?;
    let role = |(index, arn): (usize, &credentials_cache::RoleArn)| credentials_cache::Role {
        arn: arn.clone(),
        external_id: options.external_id.clone().filter(|_| index == last),
        session_name: None,
    };
    Some(options.assume_role.iter().enumerate().map(role).collect())
}
