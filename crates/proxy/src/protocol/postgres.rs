//! PostgreSQL.

mod cancels;

use std::convert::Infallible;
use std::sync::Arc;

use countersign_connect::dialer::{Dialer, Refusal};
use countersign_connect::drive::{Broken, Tls, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::{Credential, Security};
use countersign_wire::pg::login::{Ask, Login, Outcome, ScramVerifier};
use countersign_wire::pg::recall::Recall;
use countersign_wire::pg::statement::Statement;
use countersign_wire::pg::stream::{self, Answers, Requests};
use countersign_wire::pg::{CancelKey, Startup, codec, dial, login};
use countersign_wire::{Fault, Inbox};
use tokio::time::Instant;

use super::{Arrival, Follow, Parties, Passage, Protocol, Standing, Then, Trouble};
use crate::settings;
use crate::upstream::Upstream;
use cancels::{Cancels, Stay};

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
    login: login::Settings,
    tls: Tls,
    cancels: Arc<Cancels>,
}

impl Protocol for Postgres {
    type Wish = Startup;
    type Reply = Introduction;
    type Call = CancelKey;
    type Session = dial::Session;
    type Dial = dial::Dial;
    type Follower = Follower;
    type Errand = Infallible;
    type Stay = Stay;

    fn new(target: &settings::Target) -> Result<Self, Failure> {
        let ask = match &target.access {
            settings::Access::Password(password) => {
                Ask::Password(Arc::new(ScramVerifier::new(&password.0).map_err(no_random)?))
            }
            settings::Access::Open
            | settings::Access::OpenToNetwork
            | settings::Access::Users(_) => Ask::Nothing,
        };
        let (tls, offer) = super::shown(target.client_tls.as_ref(), &[codec::ALPN])?;
        Ok(Self { login: login::Settings { tls: offer, ask }, tls, cancels: Arc::default() })
    }

    async fn take_in(
        &self,
        _: &Dialer,
        client: &mut Transport,
        inbox: &mut Inbox,
        _: Instant,
    ) -> Result<Arrival<Self>, Trouble> {
        match drive(client, inbox, Login::new(self.login.clone()), &self.tls).await? {
            Outcome::Login(startup) => {
                let introduction = Introduction { minor: startup.minor };
                Ok(Arrival::Visit(startup, introduction))
            }
            Outcome::Cancel(key) => Ok(Arrival::Call(key)),
        }
    }

    async fn answer(
        &self,
        dialer: &Dialer,
        key: CancelKey,
        deadline: Instant,
    ) -> Result<Option<CancelKey>, Refusal> {
        let Some((address, key)) = self.cancels.find(&key) else {
            return Ok(Some(key));
        };
        let sent =
            dialer.reach(&[address], deadline, Recall::new(key, dialer.security(), false)).await?;
        sent.transport.close().await;
        Ok(None)
    }

    fn call_to_bytes(key: &CancelKey) -> Vec<u8> {
        key.to_bytes()
    }

    fn call_from_bytes(bytes: &[u8]) -> Option<CancelKey> {
        CancelKey::parse(bytes)
    }

    fn names(wish: &Startup) -> (&str, Option<&str>) {
        (&wish.user, wish.database.as_deref())
    }

    fn aim(mut wish: Startup, target: &settings::Target) -> Startup {
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

    fn own_wish(target: &settings::Target) -> Option<Startup> {
        let user = target.user.as_ref()?.as_str().to_owned();
        let parameters = Vec::new();
        let database = target.database.clone().unwrap_or_else(|| MAINTENANCE.to_owned());
        Some(Startup { minor: codec::NEWEST_MINOR, user, database: Some(database), parameters })
    }

    fn is_reusable(_: &Startup) -> bool {
        true
    }

    fn kind(wish: &Startup) -> Option<Startup> {
        (!wish.is_replication()).then(|| wish.clone())
    }

    fn dial(wish: &Startup, credential: Credential, security: Security) -> dial::Dial {
        dial::Dial::new(dial::Settings {
            startup: wish.clone(),
            security,
            direct_tls: false,
            credential,
            channel_binding: dial::ChannelBinding::Prefer,
        })
    }

    fn met(&self, _: &dial::Session) {}

    async fn is_writer(upstream: &mut Upstream<Self>) -> Result<bool, Broken> {
        let standby = upstream.session.parameters.iter().find(|(name, _)| name == "in_hot_standby");
        if standby.is_some_and(|(_, value)| value == "on") {
            return Ok(false);
        }
        Ok(upstream.exchange(Statement::new(READ_ONLY)).await?.value.as_deref() == Some("off"))
    }

    async fn reset(upstream: &mut Upstream<Self>) -> Result<(), Broken> {
        upstream.exchange(Statement::new(RESET)).await.map(|_| ())
    }

    fn welcome(
        &self,
        reply: Introduction,
        upstream: &Upstream<Self>,
    ) -> Result<(Vec<u8>, Stay), Failure> {
        let session = &upstream.session;
        let process = session.key.as_ref().map(|theirs| theirs.process);
        let key = CancelKey::random(process, reply.minor).map_err(no_random)?;
        let mut bytes = codec::welcome(&session.parameters, &key);
        bytes.extend_from_slice(&session.notices);
        let stay =
            self.cancels.stay(key, session.key.clone().map(|theirs| (upstream.address, theirs)));
        Ok((bytes, stay))
    }

    fn is_recalled(stay: &Stay) -> bool {
        stay.is_recalled()
    }

    fn follower(_: &Upstream<Self>) -> Follower {
        Follower::default()
    }

    async fn run(
        &self,
        errand: Infallible,
        _: Parties<'_, Self>,
        _: Instant,
    ) -> Result<(), Trouble> {
        match errand {}
    }

    fn refuse(_: &Introduction, refusal: &Refusal) -> Vec<u8> {
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

    fn parting(reason: &str) -> Vec<u8> {
        codec::error_response(
            "FATAL",
            SENT_AWAY,
            &format!("terminating connection: {reason}"),
            None,
            None,
        )
    }

    fn farewell() -> Vec<u8> {
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
    requests: Requests,
    answers: Answers,
}

impl Follow for Follower {
    type Errand = Infallible;

    fn request(&mut self, bytes: &[u8]) -> Result<Passage<Infallible>, Fault> {
        Ok(match self.requests.follow(bytes) {
            stream::Passage::All => Passage { forward: bytes.len(), then: Then::More },
            stream::Passage::Until(forward) => Passage { forward, then: Then::Quit },
        })
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.answers.follow(bytes);
    }

    fn standing(&self) -> Standing {
        // Nothing was asked for and nothing came: so it is after the login.
        if self.requests.awaited() == 0 && self.answers.given() == 0 && self.requests.is_untouched()
        {
            return Standing::Idle;
        }
        match self.answers.status() {
            Some(b'I') if self.answers.given() >= self.requests.awaited() => Standing::Idle,
            Some(_) if self.answers.given() >= self.requests.awaited() => Standing::Transaction,
            _ => Standing::Active,
        }
    }

    fn takes_database(&mut self) -> bool {
        self.requests.takes_database()
    }
}

fn no_random(error: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, format!("the system gives no random numbers: {error}"))
}

#[cfg(test)]
mod tests;
