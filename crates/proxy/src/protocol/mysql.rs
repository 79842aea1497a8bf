//! MySQL and MariaDB.

mod connection_ids;
mod intercept;
mod reply;
mod tracker;

use std::sync::{Arc, Mutex, PoisonError};

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::{ClientTlsMode, Credential, TransportSecurity};
use countersign_wire::mysql::client::{self, ReadGreeting, Session};
use countersign_wire::mysql::command::Command;
use countersign_wire::mysql::response;
use countersign_wire::mysql::server::{self, AuthMethod, ServerLogin};
use countersign_wire::mysql::{Capabilities, Greeting, LoginParams, MysqlPassword, codec};
use countersign_wire::{ProtocolError, ReadBuffer};
use tokio::time::{Instant, timeout_at};

use super::{
    CancelGuard, ClientRequest, InterceptCtx, Protocol, ServerProtocol, SessionError, UpstreamOf,
    no_random,
};
use crate::settings::{ClientAuth, TargetSettings};
use connection_ids::ConnectionIds;
use reply::{LoginContext, login_error};
use tracker::{Intercepted, Tracker};

/// Both are off on a writer. A replica sets the first, an Aurora reader the second.
const READ_ONLY: [&str; 2] = ["SELECT @@global.read_only", "SELECT @@global.innodb_read_only"];

/// `ER_SERVER_SHUTDOWN`, which a server sends when it terminates clients.
const SERVER_SHUTDOWN: (u16, &str) = (1053, "08S01");

/// MySQL state of a target.
#[derive(Debug)]
pub(crate) struct Mysql {
    tls: TlsConfig,
    tls_mode: ClientTlsMode,
    auth: AuthMethod,
    /// Last greeting of the server.
    greeting: Mutex<Option<Greeting>>,
    ids: ConnectionIds,
}

impl Mysql {
    /// Returns the greeting for clients: the server's last one. Without one, it connects to the
    /// server to read it.
    async fn greeting(&self, dialer: &Dialer, deadline: Instant) -> Result<Greeting, ConnectError> {
        let known = self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let addresses = timeout_at(deadline, dialer.addresses()).await.map_err(|_| {
            let server = dialer.host_port();
            Failure::new(Class::TimedOut, format!("cannot resolve the host of {server}: timed out"))
        })??;
        let connected = dialer.connect_with(&addresses, deadline, ReadGreeting::new()).await?;
        self.set_greeting(&connected.session);
        Ok(connected.session)
    }

    fn set_greeting(&self, greeting: &Greeting) {
        let mut known = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(greeting) {
            *known = Some(greeting.clone());
        }
    }
}

impl super::LoginParams for LoginParams {
    fn user(&self) -> &str {
        &self.user
    }

    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn with_overrides(mut self, target: &TargetSettings) -> Self {
        if let Some(user) = &target.user {
            user.as_str().clone_into(&mut self.user);
        }
        if let Some(database) = &target.database {
            self.database = Some(database.clone());
        }
        self
    }

    fn for_target_user(target: &TargetSettings) -> Option<Self> {
        Some(Self::new(target.user.as_ref()?.as_str(), target.database.clone()))
    }

    fn pool_key(&self) -> Option<Self> {
        Some(Self::pool_key(self))
    }

    /// A reset cannot leave the current database, so a session without one is not reusable.
    /// Compressed packets have their own sequence numbers, which the proxy does not follow.
    fn is_reusable(&self) -> bool {
        self.database.is_some()
            && !self.capabilities.has_any(Capabilities::COMPRESS | Capabilities::ZSTD)
    }
}

impl ServerProtocol for Mysql {
    type Params = LoginParams;
    type Session = Session;
    type Login = client::ClientLogin;

    fn login(
        params: &LoginParams,
        credential: Credential,
        security: TransportSecurity,
    ) -> client::ClientLogin {
        let params = params.clone();
        client::ClientLogin::new(client::ClientConfig { params, security, credential })
    }

    fn on_upstream_login(&self, session: &Session) {
        self.set_greeting(&session.greeting);
    }

    async fn is_writer(upstream: &mut UpstreamOf<Self>) -> Result<bool, DriveError> {
        let capabilities = upstream.session.capabilities;
        for variable in READ_ONLY {
            let value = upstream.exchange(Command::query(variable, capabilities)).await?.value;
            // A number; since MariaDB 12 a word.
            if !value.is_some_and(|value| value == "0" || value.eq_ignore_ascii_case("off")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reset(upstream: &mut UpstreamOf<Self>) -> Result<(), DriveError> {
        let capabilities = upstream.session.capabilities;
        upstream.exchange(Command::new(codec::reset_connection(), capabilities)).await?;
        // COM_RESET_CONNECTION resets the character set to the server's default, not to that of
        // the login, and keeps the current database.
        let collation = upstream.params.collation;
        let set_collation = format!(
            "SET character_set_client={collation}, character_set_results={collation}, \
             collation_connection={collation}"
        );
        match upstream.exchange(Command::query(&set_collation, capabilities)).await {
            // A server that does not know the collation used its default after the login too.
            Ok(_) | Err(DriveError::Protocol(ProtocolError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
        if let Some(database) = &upstream.params.database {
            upstream.exchange(Command::new(codec::init_db(database), capabilities)).await?;
        }
        Ok(())
    }

    fn terminate_message() -> Vec<u8> {
        codec::quit()
    }
}

impl Protocol for Mysql {
    type Reply = LoginContext;
    type Tracker = Tracker;

    fn new(target: &TargetSettings) -> Result<Self, Failure> {
        let auth = match &target.client_auth {
            ClientAuth::Password(password) => {
                AuthMethod::Password(Arc::new(MysqlPassword::new(&password.0)))
            }
            ClientAuth::Trust | ClientAuth::TrustNetwork | ClientAuth::Users(_) => {
                AuthMethod::Trust
            }
        };
        let (tls, tls_mode) = super::client_tls(target.client_tls.as_ref(), &[])?;
        let ids = ConnectionIds::new().map_err(no_random)?;
        Ok(Self { tls, tls_mode, auth, greeting: Mutex::default(), ids })
    }

    async fn accept_login(
        &self,
        dialer: &Dialer,
        client: &mut Transport,
        buffer: &mut ReadBuffer,
        deadline: Instant,
    ) -> Result<ClientRequest<Self>, SessionError> {
        // In this protocol the server speaks first: its greeting must be known.
        let greeting = match self.greeting(dialer, deadline).await {
            Ok(greeting) => greeting,
            Err(error) => {
                let packet = login_error(0, Capabilities::NONE, &error);
                client.write_all(&packet).await.map_err(DriveError::Io)?;
                return Err(Box::new(error).into());
            }
        };
        let connection_id = self.ids.next_client_id();
        let login = ServerLogin::new(server::ServerConfig {
            greeting,
            tls: self.tls_mode,
            connection_id,
            auth: self.auth.clone(),
        });
        let server::LoginRequest { params, sequence } =
            drive(client, buffer, login, &self.tls).await?;
        let capabilities = params.capabilities;
        Ok(ClientRequest::Login(params, LoginContext { connection_id, sequence, capabilities }))
    }

    fn login_ok(
        &self,
        LoginContext { connection_id, sequence, capabilities }: LoginContext,
        upstream: &UpstreamOf<Self>,
    ) -> Result<(Vec<u8>, CancelGuard), Failure> {
        let session = &upstream.session;
        let bytes = response::forward_ok(&session.ok, session.capabilities, sequence, capabilities);
        Ok((bytes, self.ids.register(connection_id, session.connection_id)))
    }

    fn login_error(reply: &LoginContext, error: &ConnectError) -> Vec<u8> {
        login_error(reply.sequence, reply.capabilities, error)
    }

    fn tracker(upstream: &UpstreamOf<Self>) -> Tracker {
        let session = &upstream.session;
        Tracker::new(upstream.params.clone(), session.capabilities, session.status)
    }

    async fn handle_intercepted(
        &self,
        request: Intercepted,
        ctx: InterceptCtx<'_, UpstreamOf<Self>, Tracker>,
        deadline: Instant,
    ) -> Result<(), SessionError> {
        match request {
            Intercepted::ChangeUser(payload) => {
                intercept::change_user(&payload, self.auth.clone(), ctx, deadline).await
            }
            Intercepted::Kill(packet, kill) => {
                let client_id = u32::try_from(kill.connection_id).ok();
                let server_id = client_id.and_then(|id| self.ids.server_id(id));
                intercept::kill(&packet, &kill, server_id, ctx.upstream).await
            }
        }
    }

    fn shutdown_error(reason: &str) -> Vec<u8> {
        let (number, sqlstate) = SERVER_SHUTDOWN;
        let message = format!("terminating connection: {reason}");
        response::error_packet(0, number, sqlstate, &message, Capabilities::PROTOCOL_41)
    }
}
