//! The differences between PostgreSQL and MySQL, so that [`crate::session`] and [`crate::pool`]
//! are written once.
//!
//! A protocol has two sides. [`ServerProtocol`] logs the proxy in to servers and is all that a
//! pool needs. [`Protocol`] adds the logins of clients and the tracking of their sessions.

pub(crate) mod mysql;
pub(crate) mod postgres;

mod cancel_map;

use std::fmt;
use std::future::Future;
use std::hash::Hash;

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, ServerTls, TlsConfig};
use countersign_connect::tls::server_config;
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::DbUser;
use countersign_wire::exchange::{ClientTlsMode, Credential, TransportSecurity};
use countersign_wire::{Exchange, ProtocolError, ReadBuffer};
use tokio::time::Instant;

use crate::settings::{ClientTls, TargetSettings};
use crate::upstream::Upstream;

pub(crate) use cancel_map::CancelGuard;

/// Parameters of a login. Logins with equal parameters result in equal sessions.
pub(crate) trait LoginParams: Clone + Eq + Hash + fmt::Debug + Send + Sync {
    fn user(&self) -> &str;

    fn database(&self) -> Option<&str>;

    /// Replaces user and database by those of the target's settings.
    fn with_overrides(self, target: &TargetSettings) -> Self;

    /// Returns the parameters of the proxy's own logins; `None` if the target has no user.
    fn for_target_user(target: &TargetSettings) -> Option<Self>;

    /// Returns the parameters without those that only identify the client. `None` means that the
    /// session cannot be pooled.
    fn pool_key(&self) -> Option<Self>;

    /// Returns true if a session with these parameters can be reset and given to another client.
    fn is_reusable(&self) -> bool;

    /// Returns the user as a database user.
    ///
    /// # Errors
    /// [`Class::Protocol`] if no database could have a user of this name.
    fn db_user(&self) -> Result<DbUser, Failure> {
        self.user().parse().map_err(|error| Failure::new(Class::Protocol, format!("{error}")))
    }
}

/// Server side of a protocol.
pub(crate) trait ServerProtocol: Sized + fmt::Debug + Send + Sync + 'static {
    type Params: LoginParams;
    /// Result of a login to a server.
    type Session: fmt::Debug + Send + Sync;
    /// Exchange of a login to a server.
    type Login: Exchange<Output = Self::Session> + Send;

    fn login(
        params: &Self::Params,
        credential: Credential,
        security: TransportSecurity,
    ) -> Self::Login;

    /// Records facts about the server after a login.
    fn on_upstream_login(&self, _session: &Self::Session) {}

    /// Returns true if the server accepts writes.
    fn is_writer(
        upstream: &mut UpstreamOf<Self>,
    ) -> impl Future<Output = Result<bool, DriveError>> + Send;

    /// Restores the state that the session had after its login.
    fn reset(
        upstream: &mut UpstreamOf<Self>,
    ) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// Returns the message that ends a session.
    fn terminate_message() -> Vec<u8>;
}

/// Connection to a server of protocol `P`.
pub(crate) type UpstreamOf<P> =
    Upstream<<P as ServerProtocol>::Session, <P as ServerProtocol>::Params>;

/// Client side of a protocol.
pub(crate) trait Protocol: ServerProtocol {
    /// Facts about the client that the answer to its login depends on.
    type Reply: Send + Sync;
    type Tracker: SessionTracker;

    /// Creates the protocol state of a target.
    ///
    /// # Errors
    /// If a certificate or key file cannot be used.
    fn new(target: &TargetSettings) -> Result<Self, Failure>;

    /// Reads and authenticates a client's request.
    fn accept_login(
        &self,
        dialer: &Dialer,
        client: &mut Transport,
        buffer: &mut ReadBuffer,
        deadline: Instant,
    ) -> impl Future<Output = Result<ClientRequest<Self>, SessionError>> + Send;

    /// Forwards a cancel request. Returns false if `key` belongs to no session of this process.
    fn forward_cancel(
        &self,
        _dialer: &Dialer,
        _key: &[u8],
        _deadline: Instant,
    ) -> impl Future<Output = Result<bool, ConnectError>> + Send {
        async { Ok(false) }
    }

    /// Returns the messages that complete the client's login, and registers the session for
    /// cancel requests.
    ///
    /// # Errors
    /// If the operating system provides no random numbers.
    fn login_ok(
        &self,
        reply: Self::Reply,
        upstream: &UpstreamOf<Self>,
    ) -> Result<(Vec<u8>, CancelGuard), Failure>;

    /// Returns the message that rejects the client's login.
    fn login_error(reply: &Self::Reply, error: &ConnectError) -> Vec<u8>;

    /// Returns the tracker of a new session.
    fn tracker(upstream: &UpstreamOf<Self>) -> Self::Tracker;

    /// Executes an intercepted request and answers it.
    fn handle_intercepted(
        &self,
        request: InterceptedBy<Self>,
        ctx: InterceptCtx<'_, UpstreamOf<Self>, Self::Tracker>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;

    /// Returns the message that terminates a client's session between two statements.
    fn shutdown_error(reason: &str) -> Vec<u8>;
}

/// Request that the tracker of protocol `P` intercepts.
pub(crate) type InterceptedBy<P> = <<P as Protocol>::Tracker as SessionTracker>::Intercepted;

/// Request of a new client connection.
pub(crate) enum ClientRequest<P: Protocol> {
    /// Open a session.
    Login(P::Params, P::Reply),
    /// Cancel the statement of another session, whose key is encoded as in the protocol.
    Cancel(Vec<u8>),
}

/// Both connections of a session whose client sent an intercepted request.
pub(crate) struct InterceptCtx<'a, U, T> {
    pub(crate) client: &'a mut Transport,
    pub(crate) client_buffer: &'a mut ReadBuffer,
    pub(crate) upstream: &'a mut U,
    pub(crate) tracker: &'a mut T,
    pub(crate) dialer: &'a Dialer,
    pub(crate) target: &'a TargetSettings,
}

/// Error of a session, by the connection that it occurred on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("{0}")]
    Client(#[from] DriveError),
    #[error("{0}")]
    Server(#[from] Box<ConnectError>),
}

/// Follows the messages of a session. It keeps counts and flags, never message contents.
pub(crate) trait SessionTracker: Send {
    /// Request that the proxy has to answer instead of the server.
    type Intercepted: Send;

    /// Follows bytes of the client, starting after those of the last plan.
    ///
    /// # Errors
    /// If the client violates the protocol.
    fn observe_client(
        &mut self,
        bytes: &[u8],
    ) -> Result<ForwardPlan<Self::Intercepted>, ProtocolError>;

    /// Follows bytes of the server.
    fn observe_server(&mut self, bytes: &[u8]);

    fn state(&self) -> TransactionState;

    /// Returns true if the client sent a statement that fails while other sessions use its
    /// database, and clears the flag.
    fn take_exclusive_ddl_flag(&mut self) -> bool {
        false
    }
}

/// Handling of bytes that a client has sent.
pub(crate) struct ForwardPlan<I> {
    /// Number of bytes to forward.
    pub(crate) forward: usize,
    /// Handling of the bytes after those.
    pub(crate) next: Next<I>,
}

/// Handling of the bytes after those to forward.
pub(crate) enum Next<I> {
    /// An incomplete message, to be observed again together with the bytes that follow.
    More,
    /// The client's terminate message.
    Terminate,
    /// An intercepted request and its length in bytes.
    Intercept(usize, I),
}

/// Transaction state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// Between two statements, outside of a transaction.
    Idle,
    /// Between two statements of a transaction.
    InTransaction,
    /// In a statement, or unknown.
    Active,
}

/// Converts an error of the random number generator.
fn no_random(error: impl fmt::Display) -> Failure {
    Failure::new(Class::Internal, format!("cannot read random numbers: {error}"))
}

/// Loads the certificate for clients. Returns the TLS configuration and the mode to offer.
fn client_tls(
    files: Option<&ClientTls>,
    alpn: &[&[u8]],
) -> Result<(TlsConfig, ClientTlsMode), Failure> {
    let Some(files) = files else {
        return Ok((TlsConfig::None, ClientTlsMode::Off));
    };
    let (config, end_point) = server_config(&files.certificate, &files.key, alpn)?;
    let mode = if files.required { ClientTlsMode::Required } else { ClientTlsMode::Offered };
    Ok((TlsConfig::Server(ServerTls { config, end_point }), mode))
}
