//! What differs between the protocols, so that [`crate::session`] never asks which one it serves.

pub(crate) mod mysql;
pub(crate) mod postgres;

use std::fmt;
use std::future::Future;
use std::hash::Hash;

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, ServerTls, TlsConfig};
use countersign_connect::tls::server_config;
use countersign_connect::transport::Transport;
use countersign_core::failure::Failure;
use countersign_core::name::DbUser;
use countersign_wire::exchange::{self, Credential, TransportSecurity};
use countersign_wire::{Exchange, ProtocolError, ReadBuffer};
use tokio::time::Instant;

use crate::settings;
use crate::upstream::Upstream;

/// One protocol, with what a target keeps of it.
pub(crate) trait Protocol: Sized + fmt::Debug + Send + Sync + 'static {
    /// What a client asks for: two that are equal ask for the same session.
    type Wish: Clone + Eq + Hash + fmt::Debug + Send + Sync;
    /// What an answer to the client's login has to know of it.
    type Reply: Send + Sync;
    /// What a client may come for that wants no session.
    type Call: Send;
    /// A session on a server, once it is logged in.
    type Session: fmt::Debug + Send + Sync;
    /// A login to a server.
    type Dial: Exchange<Output = Self::Session> + Send;
    /// What follows a session that is handed through.
    type Follower: SessionTracker<Errand = Self::Errand>;
    /// What the client asks for in its session that can't be handed through.
    type Errand: Send;
    /// What the proxy remembers of a client for as long as it is there.
    type Stay: Send + Sync;

    /// What a target with these settings keeps.
    ///
    /// # Errors
    /// Where a file can't be used.
    fn new(target: &settings::Target) -> Result<Self, Failure>;

    /// Takes a client in.
    fn accept_login(
        &self,
        dialer: &Dialer,
        client: &mut Transport,
        inbox: &mut ReadBuffer,
        deadline: Instant,
    ) -> impl Future<Output = Result<ClientRequest<Self>, SessionError>> + Send;

    /// Does what a client came for that wants no session. What is about no session that is known here is given back.
    fn handle_cancel(
        &self,
        dialer: &Dialer,
        call: Self::Call,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Self::Call>, ConnectError>> + Send;

    /// A call as another process of ours is told of it.
    fn call_to_bytes(call: &Self::Call) -> Vec<u8>;

    /// The same back.
    fn call_from_bytes(bytes: &[u8]) -> Option<Self::Call>;

    /// The user that a wish names, and the database.
    fn names(wish: &Self::Wish) -> (&str, Option<&str>);

    /// The wish with the user and the database that the target has.
    fn apply_target_overrides(wish: Self::Wish, target: &settings::Target) -> Self::Wish;

    /// The session that a target with a user of its own would ask for: to try it, and to log in ahead of the first client.
    fn probe_params(target: &settings::Target) -> Option<Self::Wish>;

    /// Whether a session like this can be given to somebody else, once it is reset.
    fn is_reusable(wish: &Self::Wish) -> bool;

    /// The kind of session to look for in the pool: without what only tells clients apart. None is one that is nobody else's.
    fn pool_key(wish: &Self::Wish) -> Option<Self::Wish>;

    /// A login to a server.
    fn dial(wish: &Self::Wish, credential: Credential, security: TransportSecurity) -> Self::Dial;

    /// Hears of a session that was logged in to: so is the server now.
    fn on_upstream_login(&self, session: &Self::Session);

    /// Whether the server takes writes.
    fn is_writer(
        upstream: &mut Upstream<Self>,
    ) -> impl Future<Output = Result<bool, DriveError>> + Send;

    /// Makes a session as it was when it began.
    fn reset(upstream: &mut Upstream<Self>) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// What ends the client's login well, and what is remembered of the client.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    fn login_ok(
        &self,
        reply: Self::Reply,
        upstream: &Upstream<Self>,
    ) -> Result<(Vec<u8>, Self::Stay), Failure>;

    /// Whether somebody asked, from outside of the session, to end what runs in it: that may come late, and hit the next client.
    fn cancel_was_forwarded(stay: &Self::Stay) -> bool;

    /// What follows a session from its beginning.
    fn follower(upstream: &Upstream<Self>) -> Self::Follower;

    /// Does what the client asked for that can't be handed through, and answers it.
    fn handle_intercepted(
        &self,
        errand: Self::Errand,
        parties: InterceptCtx<'_, Self>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;

    /// What ends the client's login badly.
    fn login_error(reply: &Self::Reply, refusal: &ConnectError) -> Vec<u8>;

    /// What a client is told that is sent away between two statements.
    fn shutdown_error(reason: &str) -> Vec<u8>;

    /// What ends a session on a server.
    fn terminate_message() -> Vec<u8>;
}

/// What a client came for.
pub(crate) enum ClientRequest<P: Protocol> {
    /// A session.
    Login(P::Wish, P::Reply),
    /// Something else.
    Cancel(P::Call),
}

/// Who takes part in an errand.
pub(crate) struct InterceptCtx<'a, P: Protocol> {
    pub(crate) client: &'a mut Transport,
    pub(crate) inbox: &'a mut ReadBuffer,
    pub(crate) upstream: &'a mut Upstream<P>,
    pub(crate) dialer: &'a Dialer,
    pub(crate) target: &'a settings::Target,
    pub(crate) follower: &'a mut P::Follower,
}

/// Why something between a client and a server came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The client's side.
    #[error("{0}")]
    Client(#[from] DriveError),
    /// The server's.
    #[error("{0}")]
    Server(#[from] Box<ConnectError>),
}

/// Follows a session that is handed through.
pub(crate) trait SessionTracker: Send {
    /// See [`Protocol::Errand`].
    type Errand;

    /// Goes over what the client has sent, from where the last passage ended.
    ///
    /// # Errors
    /// Where that can't go on.
    fn request(&mut self, bytes: &[u8]) -> Result<ForwardPlan<Self::Errand>, ProtocolError>;

    /// Goes over what the server has sent.
    fn answer(&mut self, bytes: &[u8]);

    /// Where the session stands.
    fn standing(&self) -> TransactionState;

    /// Whether the client has asked, since this was asked last, for what fails as long as other sessions are in a database.
    fn take_exclusive_ddl_flag(&mut self) -> bool;
}

/// How much of what the client has sent goes on to the server, and what comes then.
pub(crate) struct ForwardPlan<E> {
    pub(crate) forward: usize,
    pub(crate) then: Next<E>,
}

/// What stands behind what goes on.
pub(crate) enum Next<E> {
    /// Nothing, or what can't be told yet: it is looked at again with what comes behind it.
    More,
    /// The client's goodbye.
    Quit,
    /// An errand, this long.
    Errand(usize, E),
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// Between two statements, and outside of a transaction.
    Idle,
    /// Between two statements of a transaction.
    Transaction,
    /// Within a statement, or nobody knows.
    Active,
}

/// The certificate that clients are shown, and whether they are offered TLS.
fn client_tls(
    files: Option<&settings::ClientTls>,
    alpn: &[&[u8]],
) -> Result<(TlsConfig, exchange::ClientTlsMode), Failure> {
    let Some(files) = files else {
        return Ok((TlsConfig::None, exchange::ClientTlsMode::Off));
    };
    let (config, end_point) = server_config(&files.certificate, &files.key, alpn)?;
    let offer = if files.required {
        exchange::ClientTlsMode::Required
    } else {
        exchange::ClientTlsMode::Offered
    };
    Ok((TlsConfig::Server(ServerTls { config, end_point }), offer))
}

/// The database user of a wish.
///
/// # Errors
/// Where it is none that a database could have.
pub(crate) fn user(name: &str) -> Result<DbUser, Failure> {
    name.parse().map_err(|error| {
        Failure::new(countersign_core::failure::Class::Protocol, format!("{error}"))
    })
}
