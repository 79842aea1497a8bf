//! PostgreSQL.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::Failure;
use countersign_wire::exchange::{Credential, TransportSecurity};
use countersign_wire::pg::cancel_request::CancelRequest;
use countersign_wire::pg::server::{AuthMethod, ScramVerifier, ServerLogin, StartupRequest};
use countersign_wire::pg::simple_query::SimpleQuery;
use countersign_wire::pg::stream::{self, BackendTracker, FrontendTracker};
use countersign_wire::pg::{CancelKey, StartupParams, client, codec, server};
use countersign_wire::{ProtocolError, ReadBuffer};
use tokio::time::Instant;

use super::cancel_map::CancelMap;
use super::{
    CancelGuard, ClientRequest, ForwardPlan, InterceptCtx, LoginParams, Next, Protocol,
    ServerProtocol, SessionError, SessionTracker, TransactionState, UpstreamOf, no_random,
};
use crate::settings::{ClientAuth, TargetSettings};

/// SQLSTATE `admin_shutdown`, which a server sends when it terminates clients.
const ADMIN_SHUTDOWN: &str = "57P01";

/// A database that initdb creates, and that every user may connect to by default.
const MAINTENANCE_DB: &str = "postgres";

/// Resets everything that a session can change. Fails in a transaction.
const RESET: &str = "DISCARD ALL";

/// `on` on a standby, and on a primary that is read-only by default.
const READ_ONLY: &str = "SHOW transaction_read_only";

/// PostgreSQL state of a target.
#[derive(Debug)]
pub(crate) struct Postgres {
    login: server::ServerConfig,
    tls: TlsConfig,
    /// Keys given to clients, and the server's address and key of each session. A server that
    /// sends no BackendKeyData has none.
    cancels: Arc<CancelMap<CancelKey, Option<(SocketAddr, CancelKey)>>>,
}

impl LoginParams for StartupParams {
    fn user(&self) -> &str {
        &self.user
    }

    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn with_overrides(mut self, target: &TargetSettings) -> Self {
        if let Some(user) = &target.user {
            // Without a database, PostgreSQL uses the one with the name of the user: of the user
            // that the client named.
            if self.database.is_none() && target.database.is_none() {
                self.database = Some(self.user);
            }
            self.user = user.as_str().to_owned();
        }
        if let Some(database) = &target.database {
            self.database = Some(database.clone());
        }
        self
    }

    fn for_target_user(target: &TargetSettings) -> Option<Self> {
        let user = target.user.as_ref()?.as_str().to_owned();
        let database = target.database.clone().unwrap_or_else(|| MAINTENANCE_DB.to_owned());
        let minor = codec::LATEST_MINOR;
        Some(Self { minor, user, database: Some(database), parameters: Vec::new() })
    }

    fn pool_key(&self) -> Option<Self> {
        (!self.is_replication()).then(|| self.clone())
    }

    fn is_reusable(&self) -> bool {
        true
    }
}

impl ServerProtocol for Postgres {
    type Params = StartupParams;
    type Session = client::Session;
    type Login = client::ClientLogin;

    fn login(
        params: &StartupParams,
        credential: Credential,
        security: TransportSecurity,
    ) -> client::ClientLogin {
        client::ClientLogin::new(client::ClientConfig {
            startup: params.clone(),
            security,
            credential,
        })
    }

    async fn is_writer(upstream: &mut UpstreamOf<Self>) -> Result<bool, DriveError> {
        let standby = upstream.session.parameters.iter().find(|(name, _)| name == "in_hot_standby");
        if standby.is_some_and(|(_, value)| value == "on") {
            return Ok(false);
        }
        Ok(upstream.exchange(SimpleQuery::new(READ_ONLY)).await?.value.as_deref() == Some("off"))
    }

    async fn reset(upstream: &mut UpstreamOf<Self>) -> Result<(), DriveError> {
        upstream.exchange(SimpleQuery::new(RESET)).await.map(|_| ())
    }

    fn terminate_message() -> Vec<u8> {
        codec::terminate()
    }
}

impl Protocol for Postgres {
    type Reply = ProtocolMinor;
    type Tracker = Tracker;

    fn new(target: &TargetSettings) -> Result<Self, Failure> {
        let auth = match &target.client_auth {
            ClientAuth::Password(password) => {
                AuthMethod::Password(Arc::new(ScramVerifier::new(&password.0).map_err(no_random)?))
            }
            ClientAuth::Trust | ClientAuth::TrustNetwork | ClientAuth::Users(_) => {
                AuthMethod::Trust
            }
        };
        let (tls, mode) = super::client_tls(target.client_tls.as_ref(), &[codec::ALPN])?;
        let login = server::ServerConfig { tls: mode, auth };
        Ok(Self { login, tls, cancels: Arc::default() })
    }

    async fn accept_login(
        &self,
        _: &Dialer,
        client: &mut Transport,
        buffer: &mut ReadBuffer,
        _: Instant,
    ) -> Result<ClientRequest<Self>, SessionError> {
        match drive(client, buffer, ServerLogin::new(self.login.clone()), &self.tls).await? {
            StartupRequest::Login(startup) => {
                let minor = ProtocolMinor(startup.minor);
                Ok(ClientRequest::Login(startup, minor))
            }
            StartupRequest::Cancel(key) => Ok(ClientRequest::Cancel(key.to_bytes())),
        }
    }

    async fn forward_cancel(
        &self,
        dialer: &Dialer,
        key: &[u8],
        deadline: Instant,
    ) -> Result<bool, ConnectError> {
        let server = CancelKey::parse(key).and_then(|key| self.cancels.lookup(&key)).flatten();
        let Some((address, key)) = server else {
            return Ok(false);
        };
        let sent = dialer
            .connect_with(&[address], deadline, CancelRequest::new(key, dialer.security()))
            .await?;
        sent.transport.close().await;
        Ok(true)
    }

    fn login_ok(
        &self,
        ProtocolMinor(minor): ProtocolMinor,
        upstream: &UpstreamOf<Self>,
    ) -> Result<(Vec<u8>, CancelGuard), Failure> {
        let session = &upstream.session;
        let process = session.key.as_ref().map(|server_key| server_key.process_id);
        let key = CancelKey::random(process, minor).map_err(no_random)?;
        let mut bytes = codec::login_ok(&session.parameters, &key);
        bytes.extend_from_slice(&session.notices);
        let server = session.key.clone().map(|server_key| (upstream.address, server_key));
        Ok((bytes, self.cancels.register(key, server)))
    }

    fn login_error(_: &ProtocolMinor, error: &ConnectError) -> Vec<u8> {
        match (&error.server, &error.explanation) {
            (Some(server), Some(explanation)) => {
                codec::with_explanation(&server.payload, &explanation.detail, &explanation.hint)
            }
            (Some(server), None) => codec::message(b'E', &server.payload),
            (None, _) => {
                let Failure { class, detail } = &error.failure;
                codec::error_response("FATAL", class.sqlstate(), class.public(), Some(detail), None)
            }
        }
    }

    fn tracker(_: &UpstreamOf<Self>) -> Tracker {
        Tracker::default()
    }

    async fn handle_intercepted(
        &self,
        request: Infallible,
        _: InterceptCtx<'_, UpstreamOf<Self>, Tracker>,
        _: Instant,
    ) -> Result<(), SessionError> {
        match request {}
    }

    fn shutdown_error(reason: &str) -> Vec<u8> {
        let message = format!("terminating connection: {reason}");
        codec::error_response("FATAL", ADMIN_SHUTDOWN, &message, None, None)
    }
}

/// Minor version of the protocol that the client requested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProtocolMinor(u16);

/// Tracker of a PostgreSQL session. It intercepts nothing.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    frontend: FrontendTracker,
    backend: BackendTracker,
}

impl SessionTracker for Tracker {
    type Intercepted = Infallible;

    fn observe_client(&mut self, bytes: &[u8]) -> Result<ForwardPlan<Infallible>, ProtocolError> {
        Ok(match self.frontend.observe(bytes) {
            stream::ForwardPlan::All => ForwardPlan { forward: bytes.len(), next: Next::More },
            stream::ForwardPlan::Until(forward) => ForwardPlan { forward, next: Next::Terminate },
        })
    }

    fn observe_server(&mut self, bytes: &[u8]) {
        self.backend.observe(bytes);
    }

    fn state(&self) -> TransactionState {
        let (expected, received) = (self.frontend.expected_ready(), self.backend.received_ready());
        let is_new = expected == 0 && received == 0 && self.frontend.is_unused();
        match self.backend.status() {
            _ if is_new => TransactionState::Idle,
            _ if received < expected => TransactionState::Active,
            Some(b'I') => TransactionState::Idle,
            Some(_) => TransactionState::InTransaction,
            None => TransactionState::Active,
        }
    }

    fn take_exclusive_ddl_flag(&mut self) -> bool {
        self.frontend.take_exclusive_ddl_flag()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::upstream;

    #[tokio::test]
    async fn clients_receive_the_process_id_of_the_server_and_a_secret_of_the_proxy() {
        let login = server::ServerConfig {
            tls: countersign_wire::exchange::ClientTlsMode::Off,
            auth: AuthMethod::Trust,
        };
        let protocol = Postgres { login, tls: TlsConfig::None, cancels: Arc::default() };
        let (mut upstream, _server) = upstream("app");
        let server_key = CancelKey { process_id: 4711, secret: vec![1, 2, 3, 4] };
        Arc::get_mut(&mut upstream.session).unwrap().key = Some(server_key.clone());
        let login = || protocol.login_ok(ProtocolMinor(0), &upstream).unwrap();
        let [(first, first_guard), (second, _second_guard)] = [login(), login()];
        let key = |bytes: &[u8]| {
            let start = bytes.windows(5).position(|header| header == b"K\0\0\0\x0c").unwrap() + 5;
            CancelKey::parse(&bytes[start..start + 8]).unwrap()
        };
        let [first, second] = [key(&first), key(&second)];
        assert_eq!((first.process_id, second.process_id), (4711, 4711));
        assert!(first.secret != server_key.secret && first.secret != second.secret);
        assert_eq!(protocol.cancels.lookup(&first), Some(Some((upstream.address, server_key))));
        drop(first_guard);
        assert!(protocol.cancels.lookup(&first).is_none());
        assert!(protocol.cancels.lookup(&second).is_some());
    }
}
