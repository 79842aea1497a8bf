//! One target, from what is written to what is done.

use std::net::SocketAddr;
use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Location};
use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::name::Engine;
use countersign_proxy::settings::{
    ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, TargetSessionAttrs, TargetSettings,
};

use super::Listeners;
use crate::proxy::config::{Given, Raw, RawServerAuth};
use crate::proxy::options::Options;

/// What RDS answers from about 200 logins a second on is a refusal.
/// Source: "Limitations for IAM database authentication" in the RDS user guide.
const LOGINS_PER_SECOND: u32 = 150;

/// How long a dial may take, login included: RDS's PAM module alone gives up after ten seconds or so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// One session ahead of need: who connects twice in a row waits once.
const MIN_IDLE: usize = 1;

const MAX_IDLE: usize = 20;
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// As the pools of applications have it (HikariCP's `maxLifetime`): long enough to be of use, short enough to follow DNS.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// What is common to the targets of one plan.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    pub(super) flags: &'a Options,
    pub(super) usual: &'a Options,
    /// The flags over the file's.
    pub(super) options: &'a Options,
    /// Whether there is one target alone.
    pub(super) one: bool,
    pub(super) report: &'a DiagnosticSink,
}

/// The first that says something: a URL's own word goes before flags, flags before the file.
pub(super) fn first<T>(
    given: Given,
    own: Option<T>,
    flag: Option<T>,
    usual: Option<T>,
) -> Option<T> {
    match given {
        Given::ByUrl => own.or(flag).or(usual),
        Given::InFile => flag.or(own).or(usual),
    }
}

impl Resolver<'_> {
    /// The target; none where its table has no engine or host, which has been said.
    pub(super) fn target(
        &self,
        raw: &Raw,
        listeners: &mut Listeners<'_>,
    ) -> Option<TargetSettings> {
        let (engine, host) = (raw.engine?, raw.host.clone()?);
        let listen = listeners.of(raw, engine);
        self.check_alone(raw, &listen, listeners);
        Some(TargetSettings {
            name: raw.name.clone(),
            engine,
            host,
            port: raw.port.unwrap_or(engine.default_port()),
            sign: self.sign(raw, engine),
            region: first(
                raw.given,
                raw.region.clone(),
                self.flags.region.clone(),
                self.usual.region.clone(),
            ),
            user: raw.user.clone(),
            database: raw.database.clone(),
            server_auth: self.server_auth(raw),
            tls: self.tls(raw),
            target_session_attrs: raw.target_session_attrs.unwrap_or(TargetSessionAttrs::Any),
            client_auth: self.client_auth(raw, &listen),
            listen,
            client_tls: raw.client_tls.clone(),
            pool: self.pool(raw),
            max_connections: raw
                .max_connections
                .map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX)),
            logins_per_second: raw.logins_per_second.unwrap_or(LOGINS_PER_SECOND),
            connect_timeout: raw.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            session_timeout: raw.session_timeout,
        })
    }

    /// Whether nobody else listens there.
    fn check_alone(&self, raw: &Raw, listen: &[Listen], listeners: &mut Listeners<'_>) {
        let places = raw.listen.iter().flatten().map(|wanted| &wanted.location);
        let places = places.chain(std::iter::repeat(&raw.place));
        for (listen, place) in listen.iter().zip(places) {
            if let Some(other) = listeners.claim(&raw.name, listen) {
                self.report.add(place, format!("{other} listens there already"));
            }
        }
    }

    fn sign(
        &self,
        raw: &Raw,
        engine: Engine,
    ) -> Option<(countersign_core::endpoint::HostName, u16)> {
        let usual = self.options.sign_host.clone();
        if usual.is_some() && raw.sign_host.is_none() && !self.one {
            self.report.add(&raw.place, "sign-host is about one target: with several, say it for each (in its table, or as ?sign-host=)");
        }
        let (flag, usual) = (self.flags.sign_host.clone(), self.usual.sign_host.clone());
        let sign = first(raw.given, raw.sign_host.clone(), flag, usual)?;
        Some((sign.host, sign.port.unwrap_or(engine.default_port())))
    }

    fn server_auth(&self, raw: &Raw) -> ServerAuth {
        if let RawServerAuth::Password(password) = &raw.server_auth {
            return ServerAuth::Password(std::sync::Arc::clone(password));
        }
        let (flag, usual) = (chain(self.flags), chain(self.usual));
        let settings = credentials_cache::CredentialsConfig {
            profile: first(
                raw.given,
                raw.profile.clone(),
                self.flags.profile.clone(),
                self.usual.profile.clone(),
            ),
            roles: first(raw.given, raw.roles.clone(), flag, usual).unwrap_or_default(),
            region: first(
                raw.given,
                raw.region.clone(),
                self.flags.region.clone(),
                self.usual.region.clone(),
            ),
        };
        if let Err(failure) = settings.check() {
            // What the table itself says has been checked where it was read.
            if raw.roles.as_ref() != Some(&settings.roles) {
                self.report.add(&raw.place, failure.detail);
            }
        }
        ServerAuth::Iam(settings)
    }

    fn tls(&self, raw: &Raw) -> ServerTls {
        let verification =
            raw.tls.as_ref().map_or(Verification::VerifyFull, |(_, verification)| *verification);
        let place = raw.tls.as_ref().map_or(&raw.place, |(place, _)| place);
        if verification == Verification::Disable && raw.server_auth == RawServerAuth::Iam {
            self.report.add(place, "a token would cross the network in clear: leave tls out, or write require at the least");
        }
        if raw.ca_file.is_some()
            && matches!(verification, Verification::Disable | Verification::Require)
        {
            self.report.add(
                place,
                "ca-file has no effect then: nothing is verified; leave tls out, or write verify-ca",
            );
        }
        ServerTls { verification, ca_file: raw.ca_file.clone() }
    }

    fn client_auth(&self, raw: &Raw, listen: &[Listen]) -> ClientAuth {
        let (place, auth) = match &raw.client_auth {
            Some((place, auth)) => (place, auth.clone()),
            None => (&raw.place, ClientAuth::Trust),
        };
        let (flag, usual) = (self.flags.open_to_network, self.usual.open_to_network);
        let may_be_open = first(raw.given, raw.open_to_network, flag, usual) == Some(true);
        for listen in listen {
            match (&auth, listen) {
                (ClientAuth::Trust, Listen::Tcp(address))
                    if !address.ip().is_loopback() && !may_be_open =>
                {
                    self.exposed(place, *address)
                }
                (ClientAuth::Users(_), Listen::Tcp(address)) => {
                    self.report.add(
                        place,
                        format!("users are known on Unix sockets alone, and {address} is none"),
                    );
                }
                _ => {}
            }
        }
        if auth == ClientAuth::Trust && may_be_open { ClientAuth::TrustNetwork } else { auth }
    }

    fn exposed(&self, place: &Location, address: SocketAddr) {
        let advice = "set client-auth = { password-file = \"PATH\" } (in a URL: client-password-file=PATH), or allow it by open-to-network";
        self.report.add(place, format!("whoever reaches {address} from another machine would be let in without a password: {advice}"));
    }

    fn pool(&self, raw: &Raw) -> PoolSettings {
        let written = raw.pool.unwrap_or_default();
        let lazy = self.options.lazy_refresh == Some(true);
        PoolSettings {
            min_idle: if lazy { 0 } else { written.min_idle.unwrap_or(MIN_IDLE) },
            reuse: written.reuse.unwrap_or(false),
            max_idle: written.max_idle.unwrap_or(MAX_IDLE),
            idle_timeout: written.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            max_lifetime: written.max_lifetime.unwrap_or(MAX_LIFETIME),
        }
    }
}

/// The roles of flags or of `[proxy]`; none where there are none. The external id is the last one's.
fn chain(options: &Options) -> Option<Vec<credentials_cache::Role>> {
    let last = options.assume_role.len().checked_sub(1)?;
    let role = |(index, arn): (usize, &credentials_cache::RoleArn)| credentials_cache::Role {
        arn: arn.clone(),
        external_id: options.external_id.clone().filter(|_| index == last),
        session_name: None,
    };
    Some(options.assume_role.iter().enumerate().map(role).collect())
}
