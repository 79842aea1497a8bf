//! Connects and logs in to a database: credentials, name resolution, TCP, TLS, authentication.

mod config;
mod error;
mod explanation;
mod signing_endpoint;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Secret;
use countersign_core::endpoint::Endpoint;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::DbUser;
use countersign_core::region::Region;
use countersign_wire::exchange::{Credential, TransportSecurity};
use countersign_wire::{Exchange, ReadBuffer};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::credentials_cache::CredentialsCache;
use crate::drive::{ClientTls, DriveError, TlsConfig, drive};
use crate::happy_eyeballs;
use crate::login_rate_limiter::LoginRateLimiter;
use crate::resolve::Resolver;
use crate::resolved_addrs::ResolvedAddrs;
use crate::token_cache::{Token, TokenCache};
use crate::transport::{Socket, Transport};

use signing_endpoint::SigningEndpoint;

pub use config::{DialerConfig, ServerAuth};
pub use error::ConnectError;
pub use explanation::Explanation;

/// The `tracing` target of spans to be exported as traces of connections.
pub const TRACE_TARGET: &str = "countersign::trace";

/// Connects and logs in to one database server. Created once and shared by all connections.
pub struct Dialer {
    config: DialerConfig,
    auth: AuthSource,
    tls: Option<ClientTls>,
    resolver: Resolver,
    resolved_addrs: ResolvedAddrs,
    login_rate_limiter: LoginRateLimiter,
    clock: Clock,
    signing_endpoint: SigningEndpoint,
}

enum AuthSource {
    Tokens(TokenCache),
    Password(Secret),
}

/// A connection after its login.
#[derive(Debug)]
pub struct Connected<S> {
    /// The connection.
    pub transport: Transport,
    /// Bytes that the server sent after the login.
    pub inbox: ReadBuffer,
    /// Result of the login exchange.
    pub session: S,
    /// Address of the server.
    pub address: SocketAddr,
}

/// A token and the endpoint that it is signed for.
struct Minted {
    token: Token,
    endpoint: Endpoint,
}

impl Dialer {
    /// Creates a dialer. Connects, resolves and loads nothing yet.
    ///
    /// # Errors
    /// [`Class::Configuration`] if `roots` cannot be read or the host cannot be the name in a
    /// certificate.
    pub fn new(
        config: DialerConfig,
        roots: Option<&Path>,
        resolver: Resolver,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let auth = match &config.auth {
            ServerAuth::Password(password) => AuthSource::Password(password.clone()),
            ServerAuth::Iam(credentials) => {
                let cache = CredentialsCache::new(credentials.clone(), clock.clone());
                AuthSource::Tokens(TokenCache::new(cache, clock.clone()))
            }
        };
        Ok(Self {
            auth,
            tls: config.client_tls(roots)?,
            resolver,
            resolved_addrs: ResolvedAddrs::default(),
            login_rate_limiter: LoginRateLimiter::new(config.logins_per_second),
            clock,
            signing_endpoint: SigningEndpoint::default(),
            config,
        })
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &DialerConfig {
        &self.config
    }

    /// Returns the token cache, if authentication is by IAM.
    #[must_use]
    pub const fn tokens(&self) -> Option<&TokenCache> {
        match &self.auth {
            AuthSource::Tokens(tokens) => Some(tokens),
            AuthSource::Password(_) => None,
        }
    }

    /// Returns the number of logins that wait for the rate limit.
    #[must_use]
    pub fn queued_logins(&self) -> usize {
        self.login_rate_limiter.queued()
    }

    /// Connects and logs in as `user`. `begin` creates the login exchange from a credential; it is
    /// called a second time if the server rejects a token that was cached or whose credentials may
    /// have been replaced.
    ///
    /// # Errors
    /// [`ConnectError`], with the server's message if the server rejected the login.
    pub async fn dial<E: Exchange>(
        &self,
        user: &DbUser,
        deadline: Instant,
        begin: impl Fn(Credential, TransportSecurity) -> E,
    ) -> Result<Connected<E::Output>, ConnectError> {
        let started = self.clock.now();
        let minted = match &self.auth {
            AuthSource::Password(_) => None,
            AuthSource::Tokens(_) => Some(self.mint_until(user, deadline).await?),
        };
        let first = self.attempt(user, minted.as_ref(), deadline, &begin).await;
        let (Err(error), Some(minted)) = (&first, &minted) else {
            return first;
        };
        if !error.is_auth_failure() {
            return first;
        }
        let reminted = timeout_at(deadline, self.remint(user, minted, started)).await;
        match reminted.map_err(|_| self.credentials_timeout(user))?? {
            Some(newer) => self.attempt(user, Some(&newer), deadline, &begin).await,
            None => first,
        }
    }

    /// Connects to one of the server's addresses, with TLS if configured, and drives `exchange`: a
    /// login, a cancel request, reading a greeting.
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
            .map_err(|failure| self.config.about(failure))?;
        let address = stream.peer_addr().map_err(|error| self.unavailable(&error.to_string()))?;
        let mut transport = Transport::from(Socket::Tcp(stream));
        let mut inbox = ReadBuffer::default();
        let tls = self.tls.clone().map_or(TlsConfig::None, TlsConfig::Client);
        let driven = timeout_at(deadline, drive(&mut transport, &mut inbox, exchange, &tls)).await;
        match driven {
            Ok(Ok(session)) => Ok(Connected { transport, inbox, session, address }),
            Ok(Err(error)) => Err(self.drive_error(error)),
            Err(_) => {
                let detail = "the server did not complete the login in time";
                Err(self.config.about(Failure::new(Class::TimedOut, detail)).into())
            }
        }
    }

    /// Resolves the host's addresses.
    ///
    /// # Errors
    /// [`Class::Unavailable`] if the host has none.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = self.resolver.addresses(&self.config.host, self.config.port).await?;
        self.resolved_addrs.record(&addresses);
        Ok(addresses)
    }

    /// Returns true if recent calls of [`Self::addresses`] have not returned this address: a new
    /// connection would go elsewhere.
    #[must_use]
    pub fn is_stale(&self, address: SocketAddr) -> bool {
        self.resolved_addrs.is_stale(address)
    }

    /// Returns the security that a login requires. Credentials cross an unencrypted connection only
    /// if the target's configuration disables TLS explicitly.
    #[must_use]
    pub const fn security(&self) -> TransportSecurity {
        match self.tls {
            Some(_) => TransportSecurity::Required,
            None => TransportSecurity::Plain { trusted: true },
        }
    }

    /// Returns the endpoint that tokens are signed for: the configured one, or else the RDS
    /// endpoint that the host is or is an alias of.
    ///
    /// # Errors
    /// The errors of [`Resolver::rds_endpoint`] and [`crate::region::choose`].
    pub async fn endpoint(&self) -> Result<Endpoint, Failure> {
        self.signing_endpoint.resolve(&self.config, &self.resolver).await
    }

    /// Returns the region, if the configuration or the host name contains it or it was needed
    /// before.
    #[must_use]
    pub fn known_region(&self) -> Option<Region> {
        self.signing_endpoint.known_region(&self.config)
    }

    /// Returns the clock that token lifetimes are measured with.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tests all parts of a login that need no user: credentials, region, name resolution, TCP.
    ///
    /// # Errors
    /// The error of the first part that fails.
    pub async fn probe(&self, deadline: Instant) -> Result<(), Failure> {
        let probe = async {
            if let Some(tokens) = self.tokens() {
                tokens.credentials().credentials().await?;
                self.endpoint().await?;
            }
            let addresses = self.addresses().await?;
            happy_eyeballs::connect(&addresses, deadline).await.map(|_| ())
        };
        timeout_at(deadline, probe)
            .await
            .map_err(|_| Failure::new(Class::TimedOut, "cannot connect in time"))
            .flatten()
            .map_err(|failure| self.config.about(failure))
    }

    async fn mint(&self, user: &DbUser) -> Result<Minted, Failure> {
        let span =
            tracing::debug_span!(target: TRACE_TARGET, "credentials", otel.kind = "internal");
        let endpoint = self.endpoint().await?;
        match &self.auth {
            AuthSource::Tokens(tokens) => Ok(Minted {
                token: tokens.token(&endpoint, user).instrument(span).await?,
                endpoint,
            }),
            AuthSource::Password(_) => Err(Failure::new(
                Class::Internal,
                "cannot mint a token: the target authenticates by password",
            )),
        }
    }

    async fn mint_until(&self, user: &DbUser, deadline: Instant) -> Result<Minted, Failure> {
        let minted = timeout_at(deadline, self.mint(user)).await;
        minted.map_err(|_| self.credentials_timeout(user))?
    }

    /// Mints another token in place of a rejected one. Returns `None` if it would be the same:
    /// signed with the same key within this dial.
    async fn remint(
        &self,
        user: &DbUser,
        rejected: &Minted,
        started: SystemTime,
    ) -> Result<Option<Minted>, Failure> {
        let AuthSource::Tokens(tokens) = &self.auth else {
            return Ok(None);
        };
        tokens.reject(&rejected.endpoint, user, &rejected.token);
        let newer = self.mint(user).await?;
        let fresh = rejected.token.minted_at() >= started;
        let same_key = newer.token.access_key_id() == rejected.token.access_key_id();
        Ok(Some(newer).filter(|_| !(fresh && same_key)))
    }

    /// Returns a credential of `user`, for a change of the user within a session.
    ///
    /// # Errors
    /// As for [`Self::dial`].
    pub async fn credential(
        &self,
        user: &DbUser,
        deadline: Instant,
    ) -> Result<Credential, Failure> {
        if let AuthSource::Password(password) = &self.auth {
            return Ok(Credential::Password(password.clone()));
        }
        let minted = self.mint_until(user, deadline).await?;
        Ok(Credential::Token(Zeroizing::new(minted.token.expose().to_owned())))
    }

    async fn attempt<E: Exchange>(
        &self,
        user: &DbUser,
        minted: Option<&Minted>,
        deadline: Instant,
        begin: &impl Fn(Credential, TransportSecurity) -> E,
    ) -> Result<Connected<E::Output>, ConnectError> {
        let permit = timeout_at(deadline, self.login_rate_limiter.acquire()).await;
        permit
            .map_err(|_| self.timed_out(user, "too many logins are queued (logins-per-second)"))?;
        let resolved = timeout_at(deadline, self.addresses()).await;
        let addresses =
            resolved.map_err(|_| self.timed_out(user, "cannot resolve its name in time"))??;
        let credential = match (minted, &self.auth) {
            (Some(minted), _) => {
                Credential::Token(Zeroizing::new(minted.token.expose().to_owned()))
            }
            (None, AuthSource::Password(password)) => Credential::Password(password.clone()),
            (None, AuthSource::Tokens(_)) => Credential::None,
        };
        let connected =
            self.connect_with(&addresses, deadline, begin(credential, self.security())).await;
        connected.map_err(|error| error.explained(|| self.explain(user, minted)))
    }

    fn explain(&self, user: &DbUser, minted: Option<&Minted>) -> Explanation {
        let minted = minted.zip(self.tokens()).map(|(minted, tokens)| explanation::SignedToken {
            endpoint: &minted.endpoint,
            source: tokens.credentials().status().source,
            access_key_id: minted.token.access_key_id(),
            age: self
                .clock
                .now()
                .duration_since(minted.token.minted_at())
                .unwrap_or(Duration::ZERO),
        });
        Explanation::new(self.config.engine, &self.host_port(), user, minted)
    }

    /// Returns the `host:port` that is connected to.
    #[must_use]
    pub fn host_port(&self) -> String {
        self.config.host_port()
    }

    fn credentials_timeout(&self, user: &DbUser) -> Failure {
        self.timed_out(user, "cannot load AWS credentials in time")
    }

    fn timed_out(&self, user: &DbUser, detail: &str) -> Failure {
        self.config.about(Failure::new(Class::TimedOut, format!("for {user}: {detail}")))
    }

    fn unavailable(&self, detail: &str) -> Failure {
        self.config.about(Failure::new(Class::Unavailable, detail))
    }

    /// Converts the error of an exchange with the server.
    #[must_use]
    pub fn drive_error(&self, error: DriveError) -> ConnectError {
        ConnectError::from_drive_error(error, &self.config)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("engine", &self.config.engine)
            .field("address", &self.host_port())
            .finish_non_exhaustive()
    }
}
