//! MySQL and MariaDB.

mod ids;

use std::sync::{Arc, Mutex, PoisonError};

use countersign_connect::dialer::{Dialer, Refusal};
use countersign_connect::drive::{Broken, Tls, drive};
use countersign_connect::transport::Transport;
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::{self, Credential, Security};
use countersign_wire::mysql::answer::{self, Okay, status};
use countersign_wire::mysql::dial::{self, Greet, Session};
use countersign_wire::mysql::login::{self, Ask, Login};
use countersign_wire::mysql::statement::Statement;
use countersign_wire::mysql::stream::{self, Dialogue, Kill};
use countersign_wire::mysql::{Capabilities, Greeting, MysqlPassword, Wish, codec};
use countersign_wire::{Fault, Inbox};
use tokio::time::{Instant, timeout_at};

use super::{Arrival, Follow, Parties, Passage, Protocol, Standing, Then, Trouble};
use crate::settings;
use crate::upstream::Upstream;
use ids::{Ids, Stay};

/// A writer has neither set: a replica has the first, a reader of Aurora the second.
const READ_ONLY: [&str; 2] = ["SELECT @@global.read_only", "SELECT @@global.innodb_read_only"];

/// `ER_SERVER_SHUTDOWN`, with which a server itself sends clients away.
const SENT_AWAY: (u16, &str) = (1053, "08S01");

/// What a target keeps of MySQL.
#[derive(Debug)]
pub(crate) struct Mysql {
    tls: Tls,
    offer: exchange::Tls,
    ask: Ask,
    /// What the server greets with, as it last did.
    greeting: Mutex<Option<Greeting>>,
    ids: Arc<Ids>,
}

/// What the client's login said of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Introduction {
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
    async fn greeting(&self, dialer: &Dialer, deadline: Instant) -> Result<Greeting, Refusal> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let addresses = timeout_at(deadline, dialer.addresses()).await;
        let addresses = addresses.map_err(|_| {
            Failure::new(
                Class::TimedOut,
                format!("{}: its name was not resolved in time", dialer.place()),
            )
        })??;
        let greeted = dialer.reach(&addresses, deadline, Greet::new()).await?;
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
        parties: Parties<'_, Self>,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let Parties { client, inbox, upstream, dialer, target, follower } = parties;
        let flavour = upstream.session.greeting.flavour;
        let change = login::Change::new(
            payload,
            &follower.wish,
            flavour,
            self.ask.clone(),
            client.is_encrypted(),
        );
        let change = change.map_err(Broken::Fault)?;
        let late = |_| Trouble::Client(Broken::Closed);
        let arrival = timeout_at(deadline, drive(client, inbox, change, &Tls::None))
            .await
            .map_err(late)??;
        let wish = Self::aim(arrival.wish, target);
        let (capabilities, sequence) = (follower.wish.capabilities, arrival.sequence);
        let changed = self.become_user(&wish, upstream, dialer, deadline).await;
        match changed {
            Ok(changed) => {
                let okay =
                    Okay::parse(&changed.ok, upstream.session.capabilities).unwrap_or_default();
                let okay = Okay { info: Vec::new(), status: changed.status, ..okay };
                client
                    .write_all(&codec::packet(sequence, &okay.encode(capabilities)))
                    .await
                    .map_err(Broken::Io)?;
                *follower = Follower::new(wish, upstream.session.capabilities, changed.status);
                Ok(())
            }
            Err(refusal) => {
                let introduction = Introduction { connection_id: 0, sequence, capabilities };
                client
                    .write_all(&Self::refuse(&introduction, &refusal))
                    .await
                    .map_err(Broken::Io)?;
                Err(Box::new(refusal).into())
            }
        }
    }

    async fn become_user(
        &self,
        wish: &Wish,
        upstream: &mut Upstream<Self>,
        dialer: &Dialer,
        deadline: Instant,
    ) -> Result<dial::Changed, Refusal> {
        let user = super::user(&wish.user)?;
        let credential = dialer.credential(&user, deadline).await?;
        let trusted = matches!(dialer.security(), Security::Plain { trusted: true });
        let tls = upstream.transport.is_encrypted();
        let change = dial::Change::new(&upstream.session, wish.clone(), credential, tls, trusted);
        let changed = timeout_at(deadline, upstream.exchange(change)).await;
        let changed = changed.map_err(|_| {
            Failure::new(
                Class::TimedOut,
                format!("{}: the user was not changed in time", dialer.place()),
            )
        })?;
        changed.map_err(|broken| dialer.broken(broken))
    }

    async fn kill(
        &self,
        packet: &[u8],
        kill: &Kill,
        upstream: &mut Upstream<Self>,
    ) -> Result<(), Trouble> {
        let theirs = u32::try_from(kill.connection).ok().and_then(|ours| self.ids.find(ours));
        let sent = match theirs {
            Some(theirs) => upstream.transport.write_all(&kill.replaced(packet, theirs)).await,
            // The server's own number, as it tells it in SHOW PROCESSLIST.
            None => upstream.transport.write_all(packet).await,
        };
        sent.map_err(|error| Broken::Io(error).into())
    }
}

impl Protocol for Mysql {
    type Wish = Wish;
    type Reply = Introduction;
    type Call = NoCall;
    type Session = Session;
    type Dial = dial::Dial;
    type Follower = Follower;
    type Errand = Errand;
    type Stay = Stay;

    fn new(target: &settings::Target) -> Result<Self, Failure> {
        let ask = match &target.access {
            settings::Access::Password(password) => {
                Ask::Password(Arc::new(MysqlPassword::new(&password.0)))
            }
            settings::Access::Open
            | settings::Access::OpenToNetwork
            | settings::Access::Users(_) => Ask::Nothing,
        };
        let (tls, offer) = super::shown(target.client_tls.as_ref(), &[])?;
        Ok(Self {
            tls,
            offer,
            ask,
            greeting: Mutex::default(),
            ids: Arc::new(Ids::new().map_err(no_random)?),
        })
    }

    async fn take_in(
        &self,
        dialer: &Dialer,
        client: &mut Transport,
        inbox: &mut Inbox,
        deadline: Instant,
    ) -> Result<Arrival<Self>, Trouble> {
        // The server speaks first in this protocol, so it has to be known what it would say.
        let greeting = match self.greeting(dialer, deadline).await {
            Ok(greeting) => greeting,
            Err(refusal) => {
                let stranger = Introduction {
                    connection_id: 0,
                    sequence: 0,
                    capabilities: Capabilities::NONE,
                };
                client.write_all(&Self::refuse(&stranger, &refusal)).await.map_err(Broken::Io)?;
                return Err(Box::new(refusal).into());
            }
        };
        let connection_id = self.ids.next();
        let settings =
            login::Settings { greeting, tls: self.offer, connection_id, ask: self.ask.clone() };
        let login::Arrival { wish, sequence } =
            drive(client, inbox, Login::new(settings), &self.tls).await?;
        let introduction =
            Introduction { connection_id, sequence, capabilities: wish.capabilities };
        Ok(Arrival::Visit(wish, introduction))
    }

    async fn answer(
        &self,
        _: &Dialer,
        call: NoCall,
        _: Instant,
    ) -> Result<Option<NoCall>, Refusal> {
        match call {}
    }

    fn call_to_bytes(call: &NoCall) -> Vec<u8> {
        match *call {}
    }

    fn call_from_bytes(_: &[u8]) -> Option<NoCall> {
        None
    }

    fn names(wish: &Wish) -> (&str, Option<&str>) {
        (&wish.user, wish.database.as_deref())
    }

    fn aim(mut wish: Wish, target: &settings::Target) -> Wish {
        if let Some(user) = &target.user {
            user.as_str().clone_into(&mut wish.user);
        }
        if let Some(database) = &target.database {
            wish.database = Some(database.clone());
        }
        wish
    }

    fn own_wish(target: &settings::Target) -> Option<Wish> {
        Some(Wish::new(target.user.as_ref()?.as_str(), target.database.clone()))
    }

    /// A session can be put back into its database, but not out of any; and what is compressed has a numbering of its own.
    fn is_reusable(wish: &Wish) -> bool {
        wish.database.is_some()
            && !wish.capabilities.has_any(Capabilities::COMPRESS | Capabilities::ZSTD)
    }

    fn kind(wish: &Wish) -> Option<Wish> {
        Some(wish.pool_key())
    }

    fn dial(wish: &Wish, credential: Credential, security: Security) -> dial::Dial {
        dial::Dial::new(dial::Settings { wish: wish.clone(), security, credential })
    }

    fn met(&self, session: &Session) {
        self.learn(&session.greeting);
    }

    async fn is_writer(upstream: &mut Upstream<Self>) -> Result<bool, Broken> {
        let capabilities = upstream.session.capabilities;
        for variable in READ_ONLY {
            let value = upstream.exchange(Statement::query(variable, capabilities)).await?.value;
            // A number, or since MariaDB 12 a word.
            if !value.is_some_and(|value| value == "0" || value.eq_ignore_ascii_case("off")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reset(upstream: &mut Upstream<Self>) -> Result<(), Broken> {
        let capabilities = upstream.session.capabilities;
        upstream.exchange(Statement::new(codec::reset_connection(), capabilities)).await?;
        // A reset puts the character set back to the server's own, and leaves the database as it is.
        let collation = upstream.wish.collation;
        let names = format!(
            "SET character_set_client={collation}, character_set_results={collation}, collation_connection={collation}"
        );
        match upstream.exchange(Statement::query(&names, capabilities)).await {
            // A server that doesn't know the collation took its own at the login, and has taken its own again.
            Ok(_) | Err(Broken::Fault(Fault::Refused(_))) => {}
            Err(broken) => return Err(broken),
        }
        if let Some(database) = &upstream.wish.database {
            upstream.exchange(Statement::new(codec::init_db(database), capabilities)).await?;
        }
        Ok(())
    }

    fn welcome(
        &self,
        reply: Introduction,
        upstream: &Upstream<Self>,
    ) -> Result<(Vec<u8>, Stay), Failure> {
        let bytes = answer::welcome(&upstream.session, reply.sequence, reply.capabilities);
        Ok((bytes, self.ids.stay(reply.connection_id, upstream.session.connection_id)))
    }

    fn is_recalled(stay: &Stay) -> bool {
        stay.is_recalled()
    }

    fn follower(upstream: &Upstream<Self>) -> Follower {
        Follower::new(upstream.wish.clone(), upstream.session.capabilities, upstream.session.status)
    }

    async fn run(
        &self,
        errand: Errand,
        parties: Parties<'_, Self>,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        match errand {
            Errand::ChangeUser(payload) => self.change_user(&payload, parties, deadline).await,
            Errand::Kill(packet, kill) => self.kill(&packet, &kill, parties.upstream).await,
        }
    }

    fn refuse(reply: &Introduction, refusal: &Refusal) -> Vec<u8> {
        let payload = match (&refusal.server, &refusal.explanation) {
            (Some(server), Some(explanation)) => answer::with_explanation(
                &server.payload,
                &format!("{}; {}", explanation.detail, explanation.hint),
            ),
            (Some(server), None) => server.payload.clone(),
            (None, _) => {
                let Failure { class, .. } = &refusal.failure;
                let message = refusal.failure.to_string();
                return answer::error_packet(
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

    fn parting(reason: &str) -> Vec<u8> {
        let (number, sqlstate) = SENT_AWAY;
        answer::error_packet(
            0,
            number,
            sqlstate,
            &format!("the connection is ended: {reason}"),
            Capabilities::PROTOCOL_41,
        )
    }

    fn farewell() -> Vec<u8> {
        codec::quit()
    }
}

/// Follows a session.
#[derive(Debug)]
pub(crate) struct Follower {
    dialogue: Dialogue,
    /// What the session was opened for, as the client said it.
    wish: Wish,
}

impl Follower {
    fn new(wish: Wish, capabilities: Capabilities, status: u16) -> Self {
        Self { dialogue: Dialogue::new(capabilities, status), wish }
    }
}

impl Follow for Follower {
    type Errand = Errand;

    fn request(&mut self, bytes: &[u8]) -> Result<Passage<Errand>, Fault> {
        let stream::Passage { forward, then } = self.dialogue.requests(bytes)?;
        let behind = bytes.get(forward..).unwrap_or_default();
        let then = match then {
            stream::Then::More => Then::More,
            stream::Then::Quit => Then::Quit,
            stream::Then::ChangeUser { length } => {
                let payload = behind.get(codec::HEADER..length).unwrap_or_default();
                Then::Errand(length, Errand::ChangeUser(payload.to_vec()))
            }
            stream::Then::Kill(kill) => {
                let packet = behind.get(..kill.length).unwrap_or_default().to_vec();
                Then::Errand(kill.length, Errand::Kill(packet, kill))
            }
        };
        Ok(Passage { forward, then })
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.dialogue.answers(bytes);
    }

    fn standing(&self) -> Standing {
        if !self.dialogue.is_idle() && !self.dialogue.is_left_idle() {
            return Standing::Active;
        }
        match self.dialogue.status() {
            Some(flags) if flags & status::IN_TRANSACTION == 0 => Standing::Idle,
            // After an error nobody knows.
            _ => Standing::Transaction,
        }
    }

    fn takes_database(&mut self) -> bool {
        // MySQL and MariaDB drop a database whoever is in it.
        false
    }
}

fn no_random(error: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, format!("the system gives no random numbers: {error}"))
}
