//! MySQL and MariaDB.

mod connection_ids;

use std::sync::{Arc, Mutex, PoisonError};

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::{self, Credential, TransportSecurity};
use countersign_wire::mysql::client::{self, ReadGreeting, Session};
use countersign_wire::mysql::command::Command;
use countersign_wire::mysql::response::{self, status};
use countersign_wire::mysql::server::{self, AuthMethod, ServerLogin};
use countersign_wire::mysql::stream::{self, Kill};
use countersign_wire::mysql::{Capabilities, Greeting, LoginParams, MysqlPassword, codec};
use countersign_wire::{ProtocolError, ReadBuffer};
use tokio::time::{Instant, timeout_at};

use super::{
    ClientRequest, ForwardPlan, InterceptCtx, Next, Protocol, SessionError, SessionTracker,
    TransactionState,
};
use crate::settings;
use crate::upstream::Upstream;
use connection_ids::{Ids, Stay};

/// A writer has neither set: a replica has the first, a reader of Aurora the second.
const READ_ONLY: [&str; 2] = ["SELECT @@global.read_only", "SELECT @@global.innodb_read_only"];

/// `ER_SERVER_SHUTDOWN`, with which a server itself sends clients away.
const SERVER_SHUTDOWN: (u16, &str) = (1053, "08S01");

/// What a target keeps of MySQL.
#[derive(Debug)]
pub(crate) struct Mysql {
    tls: TlsConfig,
    offer: exchange::ClientTlsMode,
    auth: AuthMethod,
    /// What the server greets with, as it last did.
    greeting: Mutex<Option<Greeting>>,
    ids: Arc<Ids>,
}

/// What the client's login said of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginContext {
    /// The number that the client was told its connection has.
    connection_id: u32,
    /// The number of the packet that answers it.
    sequence: u8,
    capabilities: Capabilities,
}

/// What a client asks for that can't be handed through.
pub(crate) enum Errand {
    /// To become another user: the packet's payload.
    ChangeUser(Vec<u8>),
    /// To end a session or its statement: the whole packet, and where the number stands in it.
    Kill(Vec<u8>, Kill),
}

/// What is never asked for.
pub(crate) type NoCall = std::convert::Infallible;

impl Mysql {
    /// What clients are greeted with: what the server greets with. It is asked for once, and heard anew with each login.
    async fn greeting(&self, dialer: &Dialer, deadline: Instant) -> Result<Greeting, ConnectError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let addresses = timeout_at(deadline, dialer.addresses()).await;
        let addresses = addresses.map_err(|_| {
            Failure::new(
                Class::TimedOut,
                format!("{}: its name was not resolved in time", dialer.host_port()),
            )
        })??;
        let greeted = dialer.connect_with(&addresses, deadline, ReadGreeting::new()).await?;
        self.learn(&greeted.session);
        Ok(greeted.session)
    }

    fn known(&self) -> Option<Greeting> {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, greeting: &Greeting) {
        let mut known = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(greeting) {
            *known = Some(greeting.clone());
        }
    }

    async fn change_user(
        &self,
        payload: &[u8],
        parties: InterceptCtx<'_, Self>,
        deadline: Instant,
    ) -> Result<(), SessionError> {
        let InterceptCtx { client, inbox, upstream, dialer, target, follower } = parties;
        let flavour = upstream.session.greeting.flavour;
        let change = server::ServerChangeUser::new(
            payload,
            &follower.wish,
            flavour,
            self.auth.clone(),
            client.is_encrypted(),
        );
        let change = change.map_err(DriveError::Fault)?;
        let late = |_| SessionError::Client(DriveError::Closed);
        let arrival = timeout_at(deadline, drive(client, inbox, change, &TlsConfig::None))
            .await
            .map_err(late)??;
        let wish = Self::apply_target_overrides(arrival.params, target);
        let (capabilities, sequence) = (follower.wish.capabilities, arrival.sequence);
        let changed = self.change_upstream_user(&wish, upstream, dialer, deadline).await;
        match changed {
            Ok(changed) => {
                let server = upstream.session.capabilities;
                client
                    .write_all(&response::forward_ok(&changed.ok, server, sequence, capabilities))
                    .await
                    .map_err(DriveError::Io)?;
                *follower = Follower::new(wish, upstream.session.capabilities, changed.status);
                Ok(())
            }
            Err(refusal) => {
                let introduction = LoginContext { connection_id: 0, sequence, capabilities };
                client
                    .write_all(&Self::login_error(&introduction, &refusal))
                    .await
                    .map_err(DriveError::Io)?;
                Err(Box::new(refusal).into())
            }
        }
    }

    async fn change_upstream_user(
        &self,
        wish: &LoginParams,
        upstream: &mut Upstream<Self>,
        dialer: &Dialer,
        deadline: Instant,
    ) -> Result<client::UserChanged, ConnectError> {
        let user = super::user(&wish.user)?;
        let credential = dialer.credential(&user, deadline).await?;
        let trusted = matches!(dialer.security(), TransportSecurity::Plain { trusted: true });
        let tls = upstream.transport.is_encrypted();
        let change = client::ChangeUser::new(
            upstream.session.capabilities,
            wish.clone(),
            credential,
            tls || trusted,
        );
        let changed = timeout_at(deadline, upstream.exchange(change)).await;
        let changed = changed.map_err(|_| {
            Failure::new(
                Class::TimedOut,
                format!("{}: the user was not changed in time", dialer.host_port()),
            )
        })?;
        changed.map_err(|broken| dialer.drive_error(broken))
    }

    async fn kill(
        &self,
        packet: &[u8],
        kill: &Kill,
        upstream: &mut Upstream<Self>,
    ) -> Result<(), SessionError> {
        let theirs = u32::try_from(kill.connection_id).ok().and_then(|ours| self.ids.find(ours));
        let sent = match theirs {
            Some(theirs) => {
                upstream.transport.write_all(&kill.with_connection_id(packet, theirs)).await
            }
            // The server's own number, as it tells it in SHOW PROCESSLIST.
            None => upstream.transport.write_all(packet).await,
        };
        sent.map_err(|error| DriveError::Io(error).into())
    }
}

impl Protocol for Mysql {
    type Wish = LoginParams;
    type Reply = LoginContext;
    type Call = NoCall;
    type Session = Session;
    type Dial = client::ClientLogin;
    type Follower = Follower;
    type Errand = Errand;
    type Stay = Stay;

    fn new(target: &settings::Target) -> Result<Self, Failure> {
        let auth = match &target.access {
            settings::Access::Password(password) => {
                AuthMethod::Password(Arc::new(MysqlPassword::new(&password.0)))
            }
            settings::Access::Open
            | settings::Access::OpenToNetwork
            | settings::Access::Users(_) => AuthMethod::Trust,
        };
        let (tls, offer) = super::client_tls(target.client_tls.as_ref(), &[])?;
        Ok(Self {
            tls,
            offer,
            auth,
            greeting: Mutex::default(),
            ids: Arc::new(Ids::new().map_err(no_random)?),
        })
    }

    async fn accept_login(
        &self,
        dialer: &Dialer,
        client: &mut Transport,
        inbox: &mut ReadBuffer,
        deadline: Instant,
    ) -> Result<ClientRequest<Self>, SessionError> {
        // The server speaks first in this protocol, so it has to be known what it would say.
        let greeting = match self.greeting(dialer, deadline).await {
            Ok(greeting) => greeting,
            Err(refusal) => {
                let stranger = LoginContext {
                    connection_id: 0,
                    sequence: 0,
                    capabilities: Capabilities::NONE,
                };
                client
                    .write_all(&Self::login_error(&stranger, &refusal))
                    .await
                    .map_err(DriveError::Io)?;
                return Err(Box::new(refusal).into());
            }
        };
        let connection_id = self.ids.next();
        let settings = server::ServerConfig {
            greeting,
            tls: self.offer,
            connection_id,
            auth: self.auth.clone(),
        };
        let server::LoginRequest { params: wish, sequence } =
            drive(client, inbox, ServerLogin::new(settings), &self.tls).await?;
        let introduction =
            LoginContext { connection_id, sequence, capabilities: wish.capabilities };
        Ok(ClientRequest::Login(wish, introduction))
    }

    async fn handle_cancel(
        &self,
        _: &Dialer,
        call: NoCall,
        _: Instant,
    ) -> Result<Option<NoCall>, ConnectError> {
        match call {}
    }

    fn call_to_bytes(call: &NoCall) -> Vec<u8> {
        match *call {}
    }

    fn call_from_bytes(_: &[u8]) -> Option<NoCall> {
        None
    }

    fn names(wish: &LoginParams) -> (&str, Option<&str>) {
        (&wish.user, wish.database.as_deref())
    }

    fn apply_target_overrides(mut wish: LoginParams, target: &settings::Target) -> LoginParams {
        if let Some(user) = &target.user {
            user.as_str().clone_into(&mut wish.user);
        }
        if let Some(database) = &target.database {
            wish.database = Some(database.clone());
        }
        wish
    }

    fn probe_params(target: &settings::Target) -> Option<LoginParams> {
        Some(LoginParams::new(target.user.as_ref()?.as_str(), target.database.clone()))
    }

    /// A session can be put back into its database, but not out of any; and what is compressed has a numbering of its own.
    fn is_reusable(wish: &LoginParams) -> bool {
        wish.database.is_some()
            && !wish.capabilities.has_any(Capabilities::COMPRESS | Capabilities::ZSTD)
    }

    fn pool_key(wish: &LoginParams) -> Option<LoginParams> {
        Some(wish.pool_key())
    }

    fn dial(
        wish: &LoginParams,
        credential: Credential,
        security: TransportSecurity,
    ) -> client::ClientLogin {
        client::ClientLogin::new(client::ClientConfig {
            params: wish.clone(),
            security,
            credential,
        })
    }

    fn on_upstream_login(&self, session: &Session) {
        self.learn(&session.greeting);
    }

    async fn is_writer(upstream: &mut Upstream<Self>) -> Result<bool, DriveError> {
        let capabilities = upstream.session.capabilities;
        for variable in READ_ONLY {
            let value = upstream.exchange(Command::query(variable, capabilities)).await?.value;
            // A number, or since MariaDB 12 a word.
            if !value.is_some_and(|value| value == "0" || value.eq_ignore_ascii_case("off")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reset(upstream: &mut Upstream<Self>) -> Result<(), DriveError> {
        let capabilities = upstream.session.capabilities;
        upstream.exchange(Command::new(codec::reset_connection(), capabilities)).await?;
        // A reset puts the character set back to the server's own, and leaves the database as it is.
        let collation = upstream.wish.collation;
        let names = format!(
            "SET character_set_client={collation}, character_set_results={collation}, collation_connection={collation}"
        );
        match upstream.exchange(Command::query(&names, capabilities)).await {
            // A server that doesn't know the collation took its own at the login, and has taken its own again.
            Ok(_) | Err(DriveError::Fault(ProtocolError::Refused(_))) => {}
            Err(broken) => return Err(broken),
        }
        if let Some(database) = &upstream.wish.database {
            upstream.exchange(Command::new(codec::init_db(database), capabilities)).await?;
        }
        Ok(())
    }

    fn login_ok(
        &self,
        reply: LoginContext,
        upstream: &Upstream<Self>,
    ) -> Result<(Vec<u8>, Stay), Failure> {
        let bytes = response::forward_ok(
            &upstream.session.ok,
            upstream.session.capabilities,
            reply.sequence,
            reply.capabilities,
        );
        Ok((bytes, self.ids.stay(reply.connection_id, upstream.session.connection_id)))
    }

    fn cancel_was_forwarded(stay: &Stay) -> bool {
        stay.is_recalled()
    }

    fn follower(upstream: &Upstream<Self>) -> Follower {
        Follower::new(upstream.wish.clone(), upstream.session.capabilities, upstream.session.status)
    }

    async fn handle_intercepted(
        &self,
        errand: Errand,
        parties: InterceptCtx<'_, Self>,
        deadline: Instant,
    ) -> Result<(), SessionError> {
        match errand {
            Errand::ChangeUser(payload) => self.change_user(&payload, parties, deadline).await,
            Errand::Kill(packet, kill) => self.kill(&packet, &kill, parties.upstream).await,
        }
    }

    fn login_error(reply: &LoginContext, refusal: &ConnectError) -> Vec<u8> {
        let payload = match (&refusal.server, &refusal.explanation) {
            (Some(server), Some(explanation)) => response::with_explanation(
                &server.payload,
                &format!("{}; {}", explanation.detail, explanation.hint),
            ),
            (Some(server), None) => server.payload.clone(),
            (None, _) => {
                let Failure { class, .. } = &refusal.failure;
                let message = refusal.failure.to_string();
                return response::error_packet(
                    reply.sequence,
                    class.mysql_number(),
                    class.mysql_sqlstate(),
                    &message,
                    reply.capabilities,
                );
            }
        };
        codec::packet(reply.sequence, &payload)
    }

    fn shutdown_error(reason: &str) -> Vec<u8> {
        let (number, sqlstate) = SERVER_SHUTDOWN;
        response::error_packet(
            0,
            number,
            sqlstate,
            &format!("the connection is ended: {reason}"),
            Capabilities::PROTOCOL_41,
        )
    }

    fn terminate_message() -> Vec<u8> {
        codec::quit()
    }
}

/// Follows a session.
#[derive(Debug)]
pub(crate) struct Follower {
    dialogue: stream::SessionTracker,
    /// What the session was opened for, as the client said it.
    wish: LoginParams,
}

impl Follower {
    fn new(wish: LoginParams, capabilities: Capabilities, status: u16) -> Self {
        Self { dialogue: stream::SessionTracker::new(capabilities, status), wish }
    }
}

impl SessionTracker for Follower {
    type Errand = Errand;

    fn request(&mut self, bytes: &[u8]) -> Result<ForwardPlan<Errand>, ProtocolError> {
        let stream::ForwardPlan { forward, then } = self.dialogue.observe_client(bytes)?;
        let behind = bytes.get(forward..).unwrap_or_default();
        let then = match then {
            stream::Next::More => Next::More,
            stream::Next::Quit => Next::Quit,
            stream::Next::ChangeUser { length } => {
                let payload = behind.get(codec::HEADER..length).unwrap_or_default();
                Next::Errand(length, Errand::ChangeUser(payload.to_vec()))
            }
            stream::Next::Kill(kill) => {
                let packet = behind.get(..kill.length).unwrap_or_default().to_vec();
                Next::Errand(kill.length, Errand::Kill(packet, kill))
            }
        };
        Ok(ForwardPlan { forward, then })
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.dialogue.observe_server(bytes);
    }

    fn standing(&self) -> TransactionState {
        if !self.dialogue.is_idle() && !self.dialogue.has_quit_idle() {
            return TransactionState::Active;
        }
        match self.dialogue.status() {
            Some(flags) if flags & status::IN_TRANSACTION == 0 => TransactionState::Idle,
            // After an error nobody knows.
            _ => TransactionState::Transaction,
        }
    }

    fn take_exclusive_ddl_flag(&mut self) -> bool {
        // MySQL and MariaDB drop a database whoever is in it.
        false
    }
}

fn no_random(error: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, format!("the system gives no random numbers: {error}"))
}
