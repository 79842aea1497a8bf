//! PostgreSQL.

mod cancel_map;

use std::convert::Infallible;
use std::sync::Arc;

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::{Credential, TransportSecurity};
use countersign_wire::pg::cancel_request::CancelRequest;
use countersign_wire::pg::server::{AuthMethod, ScramVerifier, ServerLogin, StartupRequest};
use countersign_wire::pg::simple_query::SimpleQuery;
use countersign_wire::pg::stream::{self, BackendTracker, FrontendTracker};
use countersign_wire::pg::{CancelKey, StartupParams, client, codec, server};
use countersign_wire::{ProtocolError, ReadBuffer};
use tokio::time::Instant;

use super::{
    ClientRequest, ForwardPlan, InterceptCtx, Next, Protocol, SessionError, SessionTracker,
    TransactionState,
};
use crate::settings;
use crate::upstream::Upstream;
use cancel_map::{Cancels, Stay};

/// SQLSTATE `admin_shutdown`, with which a server itself sends clients away.
const SENT_AWAY: &str = "57P01";

/// A database that every server has and everybody may connect to, unless somebody has taken that away. Source: initdb.
const MAINTENANCE: &str = "postgres";

/// Puts back everything that a session can change. It can't run within a transaction.
const RESET: &str = "DISCARD ALL";

/// `on` on a standby, and on a primary that takes no writes by default.
const READ_ONLY: &str = "SHOW transaction_read_only";

/// What a target keeps of PostgreSQL.
#[derive(Debug)]
pub(crate) struct Postgres {
    login: server::ServerConfig,
    tls: TlsConfig,
    cancels: Arc<Cancels>,
}

impl Protocol for Postgres {
    type Wish = StartupParams;
    type Reply = Introduction;
    type Call = CancelKey;
    type Session = client::Session;
    type Dial = client::ClientLogin;
    type Follower = Follower;
    type Errand = Infallible;
    type Stay = Stay;

    fn new(target: &settings::Target) -> Result<Self, Failure> {
        let auth = match &target.access {
            settings::Access::Password(password) => {
                AuthMethod::Password(Arc::new(ScramVerifier::new(&password.0).map_err(no_random)?))
            }
            settings::Access::Open
            | settings::Access::OpenToNetwork
            | settings::Access::Users(_) => AuthMethod::Trust,
        };
        let (tls, offer) = super::client_tls(target.client_tls.as_ref(), &[codec::ALPN])?;
        Ok(Self { login: server::ServerConfig { tls: offer, auth }, tls, cancels: Arc::default() })
    }

    async fn accept_login(
        &self,
        _: &Dialer,
        client: &mut Transport,
        inbox: &mut ReadBuffer,
        _: Instant,
    ) -> Result<ClientRequest<Self>, SessionError> {
        match drive(client, inbox, ServerLogin::new(self.login.clone()), &self.tls).await? {
            StartupRequest::Login(startup) => {
                let introduction = Introduction { minor: startup.minor };
                Ok(ClientRequest::Login(startup, introduction))
            }
            StartupRequest::Cancel(key) => Ok(ClientRequest::Cancel(key)),
        }
    }

    async fn handle_cancel(
        &self,
        dialer: &Dialer,
        key: CancelKey,
        deadline: Instant,
    ) -> Result<Option<CancelKey>, ConnectError> {
        let Some((address, key)) = self.cancels.find(&key) else {
            return Ok(Some(key));
        };
        let sent = dialer
            .connect_with(&[address], deadline, CancelRequest::new(key, dialer.security()))
            .await?;
        sent.transport.close().await;
        Ok(None)
    }

    fn call_to_bytes(key: &CancelKey) -> Vec<u8> {
        key.to_bytes()
    }

    fn call_from_bytes(bytes: &[u8]) -> Option<CancelKey> {
        CancelKey::parse(bytes)
    }

    fn names(wish: &StartupParams) -> (&str, Option<&str>) {
        (&wish.user, wish.database.as_deref())
    }

    fn apply_target_overrides(mut wish: StartupParams, target: &settings::Target) -> StartupParams {
        if let Some(user) = &target.user {
            // Who names no database means the one that is called like the user; that is the user who asks.
            if wish.database.is_none() && target.database.is_none() {
                wish.database = Some(wish.user);
            }
            wish.user = user.as_str().to_owned();
        }
        if let Some(database) = &target.database {
            wish.database = Some(database.clone());
        }
        wish
    }

    fn probe_params(target: &settings::Target) -> Option<StartupParams> {
        let user = target.user.as_ref()?.as_str().to_owned();
        let parameters = Vec::new();
        let database = target.database.clone().unwrap_or_else(|| MAINTENANCE.to_owned());
        Some(StartupParams {
            minor: codec::LATEST_MINOR,
            user,
            database: Some(database),
            parameters,
        })
    }

    fn is_reusable(_: &StartupParams) -> bool {
        true
    }

    fn pool_key(wish: &StartupParams) -> Option<StartupParams> {
        (!wish.is_replication()).then(|| wish.clone())
    }

    fn dial(
        wish: &StartupParams,
        credential: Credential,
        security: TransportSecurity,
    ) -> client::ClientLogin {
        client::ClientLogin::new(client::ClientConfig {
            startup: wish.clone(),
            security,
            credential,
        })
    }

    fn on_upstream_login(&self, _: &client::Session) {}

    async fn is_writer(upstream: &mut Upstream<Self>) -> Result<bool, DriveError> {
        let standby = upstream.session.parameters.iter().find(|(name, _)| name == "in_hot_standby");
        if standby.is_some_and(|(_, value)| value == "on") {
            return Ok(false);
        }
        Ok(upstream.exchange(SimpleQuery::new(READ_ONLY)).await?.value.as_deref() == Some("off"))
    }

    async fn reset(upstream: &mut Upstream<Self>) -> Result<(), DriveError> {
        upstream.exchange(SimpleQuery::new(RESET)).await.map(|_| ())
    }

    fn login_ok(
        &self,
        reply: Introduction,
        upstream: &Upstream<Self>,
    ) -> Result<(Vec<u8>, Stay), Failure> {
        let session = &upstream.session;
        let process = session.key.as_ref().map(|theirs| theirs.process_id);
        let key = CancelKey::random(process, reply.minor).map_err(no_random)?;
        let mut bytes = codec::login_ok(&session.parameters, &key);
        bytes.extend_from_slice(&session.notices);
        let stay =
            self.cancels.stay(key, session.key.clone().map(|theirs| (upstream.address, theirs)));
        Ok((bytes, stay))
    }

    fn cancel_was_forwarded(stay: &Stay) -> bool {
        stay.is_recalled()
    }

    fn follower(_: &Upstream<Self>) -> Follower {
        Follower::default()
    }

    async fn handle_intercepted(
        &self,
        errand: Infallible,
        _: InterceptCtx<'_, Self>,
        _: Instant,
    ) -> Result<(), SessionError> {
        match errand {}
    }

    fn login_error(_: &Introduction, refusal: &ConnectError) -> Vec<u8> {
        match (&refusal.server, &refusal.explanation) {
            (Some(server), Some(explanation)) => {
                codec::with_explanation(&server.payload, &explanation.detail, &explanation.hint)
            }
            (Some(server), None) => codec::message(b'E', &server.payload),
            (None, _) => {
                let Failure { class, detail } = &refusal.failure;
                codec::error_response("FATAL", class.sqlstate(), class.public(), Some(detail), None)
            }
        }
    }

    fn shutdown_error(reason: &str) -> Vec<u8> {
        codec::error_response(
            "FATAL",
            SENT_AWAY,
            &format!("terminating connection: {reason}"),
            None,
            None,
        )
    }

    fn terminate_message() -> Vec<u8> {
        codec::terminate()
    }
}

/// What the client's login said of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Introduction {
    minor: u16,
}

/// Follows a session.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    requests: FrontendTracker,
    answers: BackendTracker,
}

impl SessionTracker for Follower {
    type Errand = Infallible;

    fn request(&mut self, bytes: &[u8]) -> Result<ForwardPlan<Infallible>, ProtocolError> {
        Ok(match self.requests.observe(bytes) {
            stream::ForwardPlan::All => ForwardPlan { forward: bytes.len(), then: Next::More },
            stream::ForwardPlan::Until(forward) => ForwardPlan { forward, then: Next::Quit },
        })
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.answers.observe(bytes);
    }

    fn standing(&self) -> TransactionState {
        // Nothing was asked for and nothing came: so it is after the login.
        if self.requests.expected_ready() == 0
            && self.answers.received_ready() == 0
            && self.requests.is_unused()
        {
            return TransactionState::Idle;
        }
        match self.answers.status() {
            Some(b'I') if self.answers.received_ready() >= self.requests.expected_ready() => {
                TransactionState::Idle
            }
            Some(_) if self.answers.received_ready() >= self.requests.expected_ready() => {
                TransactionState::Transaction
            }
            _ => TransactionState::Active,
        }
    }

    fn take_exclusive_ddl_flag(&mut self) -> bool {
        self.requests.take_exclusive_ddl_flag()
    }
}

fn no_random(error: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, format!("the system gives no random numbers: {error}"))
}

#[cfg(test)]
mod tests;
