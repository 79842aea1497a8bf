//! From a database's address to a session in it: the name, the token, the socket, TLS, the login.

mod error;
mod explanation;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Secret;
use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use countersign_core::region::Region;
use countersign_wire::exchange::{Credential, TransportSecurity};
use countersign_wire::pg::codec;
use countersign_wire::{Exchange, ReadBuffer};
use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::drive::{ClientTls, DriveError, TlsConfig, drive};
use crate::login_rate_limiter::LoginRateLimiter;
use crate::region::choose;
use crate::resolve::Resolver;
use crate::resolved_addrs::ResolvedAddrs;
use crate::tls::{Roots, Verification, client_config};
use crate::token_cache::{Token, TokenCache};
use crate::transport::{Socket, Transport};
use crate::{credentials_cache, happy_eyeballs};

pub use error::ConnectError;
pub use explanation::Explanation;

/// The `tracing` target of the spans that whoever traces connections may export.
pub const TRACE: &str = "countersign::trace";

/// Where a database is and how it is logged in to.
#[derive(Debug, Clone)]
pub struct DialerConfig {
    /// The kind of server.
    pub engine: Engine,
    /// The host that is dialled, and that the server's certificate has to name.
    pub host: HostName,
    /// The port that is dialled.
    pub port: u16,
    /// The host and the port that tokens are signed for, where it isn't those dialled or what they are an alias of.
    pub sign: Option<(HostName, u16)>,
    /// The region that tokens are signed for, where it isn't the one in the host name, of the environment or the profile.
    pub region: Option<Region>,
    /// The region that the environment names.
    pub environment_region: Option<String>,
    /// What the server is logged in to with.
    pub login: ServerAuth,
    /// How far the server's certificate is verified.
    pub verification: Verification,
    /// How many logins a second the server is asked for at most; 0 is no limit.
    pub logins_per_second: u32,
}

/// What a server is logged in to with.
#[derive(Debug, Clone)]
pub enum ServerAuth {
    /// A token, minted with these AWS credentials.
    Iam(credentials_cache::CredentialsConfig),
    /// A password.
    Password(Secret),
}

/// What logs in to one database. It is made once and shared.
pub struct Dialer {
    settings: DialerConfig,
    proof: AuthSource,
    tls: Option<ClientTls>,
    resolver: Resolver,
    whereabouts: ResolvedAddrs,
    budget: LoginRateLimiter,
    clock: Clock,
    /// The region, once it is found.
    region: OnceCell<Region>,
}

enum AuthSource {
    Tokens { tokens: TokenCache, profile: Option<String> },
    Password(Secret),
}

/// A session, logged in.
#[derive(Debug)]
pub struct Connected<S> {
    /// What carries it.
    pub transport: Transport,
    /// What the server has sent behind the login.
    pub inbox: ReadBuffer,
    /// What the login came to.
    pub session: S,
    /// The server's address.
    pub address: SocketAddr,
}

/// A token, and what it was minted for.
struct Minted {
    token: Token,
    endpoint: Endpoint,
}

impl Dialer {
    /// What dials as `settings` say. Nothing is dialled, looked up or loaded yet.
    ///
    /// # Errors
    /// [`Class::Configuration`] where the roots can't be read or the host is no name that a certificate can have.
    pub fn new(
        settings: DialerConfig,
        roots: Option<&Path>,
        resolver: Resolver,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let tls = match settings.verification {
            Verification::Disable => None,
            verification => Some(client_tls(&settings, verification, roots)?),
        };
        let proof = match &settings.login {
            ServerAuth::Password(password) => AuthSource::Password(password.clone()),
            ServerAuth::Iam(identity) => {
                let profile = identity.profile.clone();
                AuthSource::Tokens {
                    tokens: TokenCache::new(
                        credentials_cache::CredentialsCache::new(identity.clone(), clock.clone()),
                        clock.clone(),
                    ),
                    profile,
                }
            }
        };
        let budget = LoginRateLimiter::new(settings.logins_per_second);
        Ok(Self {
            settings,
            proof,
            tls,
            resolver,
            whereabouts: ResolvedAddrs::default(),
            budget,
            clock,
            region: OnceCell::new(),
        })
    }

    /// Where this leads.
    #[must_use]
    pub const fn settings(&self) -> &DialerConfig {
        &self.settings
    }

    /// The tokens, where the login is by IAM.
    #[must_use]
    pub const fn tokens(&self) -> Option<&TokenCache> {
        match &self.proof {
            AuthSource::Tokens { tokens, .. } => Some(tokens),
            AuthSource::Password(_) => None,
        }
    }

    /// How many wait for their turn to log in.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.budget.waiting()
    }

    /// Logs in as `user`. `begin` makes the login from what is proved; it is called once more where the server refuses a token
    /// that was kept or whose credentials may have been replaced.
    ///
    /// # Errors
    /// A [`Refusal`], with the server's own words where it was the server.
    pub async fn dial<E: Exchange>(
        &self,
        user: &DbUser,
        deadline: Instant,
        begin: impl Fn(Credential, TransportSecurity) -> E,
    ) -> Result<Connected<E::Output>, ConnectError> {
        let late = |during: &'static str| {
            move |_| ConnectError::from(self.failure(Class::TimedOut, user, during))
        };
        let started = self.clock.now();
        let minted = match &self.proof {
            AuthSource::Password(_) => None,
            AuthSource::Tokens { .. } => Some(
                timeout_at(deadline, self.mint(user))
                    .await
                    .map_err(late("the AWS credentials took too long"))??,
            ),
        };
        let first = self.attempt(user, minted.as_ref(), deadline, &begin).await;
        let (Err(refusal), Some(minted)) = (&first, &minted) else {
            return first;
        };
        if !refusal.is_auth_failure() {
            return first;
        }
        let again = timeout_at(deadline, self.remint(user, minted, started)).await;
        match again.map_err(late("the AWS credentials took too long"))?? {
            Some(newer) => self.attempt(user, Some(&newer), deadline, &begin).await,
            None => first,
        }
    }

    /// A connection to one address of the server, TLS and all, for `exchange`: to cancel a statement, to read a greeting.
    ///
    /// # Errors
    /// As for [`Self::dial`].
    pub async fn connect_with<E: Exchange>(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
        exchange: E,
    ) -> Result<Connected<E::Output>, ConnectError> {
        let stream = happy_eyeballs::connect(addresses, deadline)
            .await
            .map_err(|failure| self.about(failure))?;
        let address = stream.peer_addr().map_err(|error| self.unreachable(&error.to_string()))?;
        let mut transport = Transport::from(Socket::Tcp(stream));
        let mut inbox = ReadBuffer::default();
        let tls = self.tls.clone().map_or(TlsConfig::None, TlsConfig::Client);
        let driven = timeout_at(deadline, drive(&mut transport, &mut inbox, exchange, &tls)).await;
        match driven {
            Ok(Ok(session)) => Ok(Connected { transport, inbox, session, address }),
            Ok(Err(broken)) => Err(self.drive_error(broken)),
            Err(_) => Err(self
                .about(Failure::new(
                    Class::TimedOut,
                    "the server did not complete the login in time",
                ))
                .into()),
        }
    }

    /// The addresses of the host that is dialled.
    ///
    /// # Errors
    /// [`Class::Unavailable`] where there are none.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = self.resolver.addresses(&self.settings.host, self.settings.port).await?;
        self.whereabouts.note(&addresses);
        Ok(addresses)
    }

    /// Whether the host has not had this address for a while, as far as [`Self::addresses`] has heard: whoever connects anew would
    /// come elsewhere.
    #[must_use]
    pub fn is_stale(&self, address: SocketAddr) -> bool {
        self.whereabouts.is_stale(address)
    }

    /// Whether a login has to be in TLS. Without TLS a proof crosses the line in clear only where the target was set up so by
    /// name: that is who turned verification off.
    #[must_use]
    pub const fn security(&self) -> TransportSecurity {
        match self.tls {
            Some(_) => TransportSecurity::Required,
            None => TransportSecurity::Plain { trusted: true },
        }
    }

    /// What tokens are signed for: the host and port as set, or else the RDS endpoint behind those dialled; and the region.
    ///
    /// # Errors
    /// Those of [`Resolver::rds_endpoint`] and [`choose`].
    pub async fn endpoint(&self) -> Result<Endpoint, Failure> {
        let DialerConfig { engine, host, port, sign, .. } = &self.settings;
        let (host, port) = match sign {
            Some((host, port)) => (host.clone(), *port),
            None => {
                (self.resolver.rds_endpoint(host).await?.unwrap_or_else(|| host.clone()), *port)
            }
        };
        let region = match (&self.settings.region, Region::of_rds_host(host.as_str())) {
            (Some(given), _) => given.clone(),
            (None, Some(region)) => region,
            (None, None) => {
                self.region.get_or_try_init(|| self.choose_region(&host)).await?.clone()
            }
        };
        Ok(Endpoint { engine: *engine, host, port, region })
    }

    /// The region, where it was needed already or the settings or the host name say it.
    #[must_use]
    pub fn known_region(&self) -> Option<Region> {
        let DialerConfig { host, sign, region, .. } = &self.settings;
        let signed = sign.as_ref().map_or(host, |(host, _)| host);
        region
            .clone()
            .or_else(|| Region::of_rds_host(signed.as_str()))
            .or_else(|| self.region.get().cloned())
    }

    /// The clock that tokens go by.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tries what a login needs, as far as it goes without a user: the credentials, the region, the name, the way to the server.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn probe(&self, deadline: Instant) -> Result<(), Failure> {
        let tried = async {
            if let Some(tokens) = self.tokens() {
                tokens.identity().credentials().await?;
                self.endpoint().await?;
            }
            let addresses = self.addresses().await?;
            happy_eyeballs::connect(&addresses, deadline).await.map(|_| ())
        };
        let late = |_| Failure::new(Class::TimedOut, "it was not reached in time");
        timeout_at(deadline, tried)
            .await
            .map_err(late)
            .flatten()
            .map_err(|failure| self.about(failure))
    }

    async fn choose_region(&self, host: &HostName) -> Result<Region, Failure> {
        let profile = match &self.proof {
            AuthSource::Tokens { profile, .. } => profile.as_deref(),
            AuthSource::Password(_) => None,
        };
        choose(None, host.as_str(), self.settings.environment_region.as_deref(), profile)
            .await
            .map(|(region, _)| region)
    }

    async fn mint(&self, user: &DbUser) -> Result<Minted, Failure> {
        let span = tracing::debug_span!(target: TRACE, "credentials", otel.kind = "internal");
        let endpoint = self.endpoint().await?;
        match &self.proof {
            AuthSource::Tokens { tokens, .. } => Ok(Minted {
                token: tokens.token(&endpoint, user).instrument(span).await?,
                endpoint,
            }),
            AuthSource::Password(_) => Err(Failure::new(
                Class::Internal,
                "a token was asked for where the login is by password",
            )),
        }
    }

    /// Another token in place of one that the server refused: none where it could only be the same, minted with the same key
    /// within this dial.
    async fn remint(
        &self,
        user: &DbUser,
        refused: &Minted,
        started: SystemTime,
    ) -> Result<Option<Minted>, Failure> {
        let AuthSource::Tokens { tokens, .. } = &self.proof else {
            return Ok(None);
        };
        tokens.reject(&refused.endpoint, user, &refused.token);
        let newer = self.mint(user).await?;
        let fresh = refused.token.minted_at() >= started;
        let same = newer.token.access_key_id() == refused.token.access_key_id();
        Ok(Some(newer).filter(|_| !(fresh && same)))
    }

    /// What is proved for `user`: for a login within a session that stands.
    ///
    /// # Errors
    /// As for [`Self::dial`].
    pub async fn credential(
        &self,
        user: &DbUser,
        deadline: Instant,
    ) -> Result<Credential, Failure> {
        if let AuthSource::Password(password) = &self.proof {
            return Ok(Credential::Password(password.clone()));
        }
        let minted = timeout_at(deadline, self.mint(user)).await;
        let minted = minted.map_err(|_| {
            self.failure(Class::TimedOut, user, "the AWS credentials took too long")
        })??;
        Ok(Credential::Token(Zeroizing::new(minted.token.expose().to_owned())))
    }

    async fn attempt<E: Exchange>(
        &self,
        user: &DbUser,
        minted: Option<&Minted>,
        deadline: Instant,
        begin: &impl Fn(Credential, TransportSecurity) -> E,
    ) -> Result<Connected<E::Output>, ConnectError> {
        let queued = timeout_at(deadline, self.budget.take()).await;
        queued.map_err(|_| {
            self.failure(
                Class::TimedOut,
                user,
                "too many logins wait for their turn (logins-per-second)",
            )
        })?;
        let found = timeout_at(deadline, self.addresses()).await;
        let addresses = found.map_err(|_| {
            self.failure(Class::TimedOut, user, "its name was not resolved in time")
        })??;
        let credential = match (minted, &self.proof) {
            (Some(minted), _) => {
                Credential::Token(Zeroizing::new(minted.token.expose().to_owned()))
            }
            (None, AuthSource::Password(password)) => Credential::Password(password.clone()),
            (None, AuthSource::Tokens { .. }) => Credential::None,
        };
        let dialled =
            self.connect_with(&addresses, deadline, begin(credential, self.security())).await;
        dialled.map_err(|refusal| refusal.explained(|| self.explain(user, minted)))
    }

    fn explain(&self, user: &DbUser, minted: Option<&Minted>) -> Explanation {
        let minted = minted.zip(self.tokens()).map(|(minted, tokens)| explanation::Signed {
            endpoint: &minted.endpoint,
            source: tokens.identity().describe().source,
            access_key_id: minted.token.access_key_id(),
            age: self
                .clock
                .now()
                .duration_since(minted.token.minted_at())
                .unwrap_or(Duration::ZERO),
        });
        Explanation::new(self.settings.engine, &self.host_port(), user, minted)
    }

    /// `host:port`, as it is dialled.
    #[must_use]
    pub fn host_port(&self) -> String {
        let DialerConfig { host, port, .. } = &self.settings;
        if host.as_str().contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    fn about(&self, failure: Failure) -> Failure {
        Failure::new(
            failure.class,
            format!("{} {}: {}", self.settings.engine.product(), self.host_port(), failure.detail),
        )
    }

    fn failure(&self, class: Class, user: &DbUser, what: &str) -> Failure {
        self.about(Failure::new(class, format!("for {user}: {what}")))
    }

    fn unreachable(&self, why: &str) -> Failure {
        self.about(Failure::new(Class::Unavailable, why))
    }

    /// What came of a word with the server, as a refusal.
    #[must_use]
    pub fn drive_error(&self, broken: DriveError) -> ConnectError {
        let failure = match &broken {
            DriveError::Fault(fault) => {
                return ConnectError::of_fault(fault, |failure| self.about(failure));
            }
            DriveError::Closed => self
                .unreachable("the server closed the connection within the login; its log says why"),
            DriveError::Io(error) => {
                self.unreachable(&format!("the connection broke within the login: {error}"))
            }
            DriveError::Tls(error) => self.about(Failure::new(
                Class::TlsFailed,
                explanation::tls(&self.settings.host, error),
            )),
        };
        failure.into()
    }
}

fn client_tls(
    settings: &DialerConfig,
    verification: Verification,
    roots: Option<&Path>,
) -> Result<ClientTls, Failure> {
    let roots = roots.map_or_else(|| Ok(Roots::built_in()), Roots::from_file)?;
    let alpn: &[&[u8]] = match settings.engine {
        Engine::Postgres => &[codec::ALPN],
        Engine::Mariadb | Engine::Mysql => &[],
    };
    let name = ServerName::try_from(settings.host.as_str().to_owned()).map_err(|_| {
        Failure::new(
            Class::Configuration,
            format!(
                "the host {:?} is not a name that a certificate can have",
                settings.host.as_str()
            ),
        )
    })?;
    Ok(ClientTls { config: client_config(verification, &roots, alpn)?, name })
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("engine", &self.settings.engine)
            .field("place", &self.host_port())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
