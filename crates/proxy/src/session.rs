//! One client, from its first byte to its last.

mod trail;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use countersign_connect::dialer::Refusal;
use countersign_connect::drive::Broken;
use countersign_connect::transport::{Socket, Transport};
use countersign_core::failure::{Class, Failure};
use countersign_wire::Inbox;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::limit::{Slot, TurnedAway};
use crate::metrics::Cut;
use crate::protocol::{Arrival, Follow, Parties, Protocol, Standing, Trouble};
use crate::relay::{End, Relay};
use crate::stop::Stop;
use crate::target::Target;
use crate::telemetry::Step;
use crate::upstream::Upstream;
use tracing::Instrument as _;
use trail::Trail;

/// How long a client that is refused may take to hear of it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) socket: Socket,
    /// Where it comes from, as the log and `status` tell it.
    pub(crate) origin: String,
    /// Its place among those that the proxy and the target have room for; a refusal where there is none.
    pub(crate) slot: Result<Slot, TurnedAway>,
    pub(crate) accepted: Instant,
}

/// A client that has been taken in.
struct Visitor<P: Protocol> {
    client: Transport,
    inbox: Inbox,
    wish: P::Wish,
    reply: P::Reply,
    accepted: Instant,
    _slot: Slot,
}

/// A client and its session on the server.
struct Pair<P: Protocol> {
    client: Transport,
    inbox: Inbox,
    upstream: Upstream<P>,
    stay: P::Stay,
    follower: P::Follower,
}

/// Why a session that was handed through is over.
enum Outcome {
    /// The client is gone. Whether the server's session was left where it is nobody's.
    Left { reusable: bool },
    /// The server has ended it.
    ServerGone,
    /// We have.
    Cut(Cut, &'static str),
}

/// Serves one client: takes it in, and then its visit.
///
/// Each step is boxed: a client that waits in one takes no memory for the others.
pub(crate) async fn serve<P: Protocol>(target: Arc<Target<P>>, guest: Guest) {
    let Guest { socket, origin, slot, accepted } = guest;
    let trail = Trail::open(&target, origin);
    let mut client = match socket.rehome() {
        Ok(socket) => Transport::from(socket),
        Err(error) => {
            return trail.refused(&Failure::new(
                Class::Internal,
                format!("the client's socket can't be taken over: {error}"),
            ));
        }
    };
    let mut inbox = Inbox::default();
    let deadline = accepted + target.login_timeout;
    let accept = trail.step(Step::Accept);
    let taking = target
        .protocol
        .take_in(&target.dialer, &mut client, &mut inbox, deadline)
        .instrument(accept);
    let taken = Box::pin(timeout_at(deadline, taking)).await;
    match taken {
        Ok(Ok(Arrival::Visit(wish, reply))) => {
            let wish = P::aim(wish, &target.settings);
            trail.names(P::names(&wish));
            match slot {
                Ok(slot) => {
                    Box::pin(visit(
                        target,
                        Visitor { client, inbox, wish, reply, accepted, _slot: slot },
                        trail,
                    ))
                    .await
                }
                Err(turned) => {
                    Box::pin(refuse::<P>(client, &reply, turned.failure.into(), trail)).await
                }
            }
        }
        Ok(Ok(Arrival::Call(call))) => trail.call(Box::pin(target.answer(call)).await),
        Ok(Err(trouble)) => {
            trail.refused(&failure(trouble));
            // Closed in order, so that the last word arrives.
            Box::pin(client.close()).await;
        }
        Err(_) => trail.refused(&Failure::new(
            Class::TimedOut,
            "the client did not complete its login in time",
        )),
    }
}

/// Gives a client its session, and lets the two talk.
async fn visit<P: Protocol>(target: Arc<Target<P>>, visitor: Visitor<P>, mut trail: Trail) {
    let Visitor { mut client, inbox, wish, reply, accepted, _slot } = visitor;
    let upstream = match Box::pin(target.acquire(&wish)).instrument(trail.step(Step::Login)).await {
        Ok(upstream) => upstream,
        Err(refusal) => return Box::pin(refuse::<P>(client, &reply, refusal, trail)).await,
    };
    let follower = P::follower(&upstream);
    let stay = match target.protocol.welcome(reply, &upstream) {
        Ok((bytes, stay)) => client
            .write_all(&bytes)
            .await
            .map(|()| stay)
            .map_err(|error| Failure::new(Class::Protocol, gone(&error))),
        Err(failure) => Err(failure),
    };
    let stay = match stay {
        Ok(stay) => stay,
        Err(failure) => {
            trail.refused(&failure);
            return Box::pin(target.pool.release(upstream)).await;
        }
    };
    trail.welcomed(&upstream, accepted);

    let mut pair = Pair::<P> { client, inbox, upstream, stay, follower };
    // Held, and not entered each time that a byte comes.
    let relaying = trail.step(Step::Relay);
    let outcome = hand_through(&target, &mut pair, &trail).await;
    drop(relaying);
    trail.close(&outcome);
    Box::pin(part(&target, pair, &outcome)).await;
}

/// Tells the client why it has no session.
async fn refuse<P: Protocol>(
    mut client: Transport,
    reply: &P::Reply,
    refusal: Refusal,
    trail: Trail,
) {
    let told = async {
        // A client that has gone hears nothing; the trail has it all the same.
        let _unheard = client.write_all(&P::refuse(reply, &refusal)).await;
        client.close().await;
    };
    let _late = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
    trail.refused(&refusal.failure);
}

/// Lets the two talk until one of them ends it, or we do.
async fn hand_through<P: Protocol>(
    target: &Target<P>,
    pair: &mut Pair<P>,
    trail: &Trail,
) -> Outcome {
    let mut stop = target.stop.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop == Stop::Now));
    let (mut terms, term) = (target.term.subscribe(), pair.upstream.term);
    let mut ended = pin!(terms.wait_for(|now| *now != term));
    let mut over = false;
    let mut limit =
        target.settings.session_timeout.map(|time| Box::pin(sleep_until(Instant::now() + time)));
    let mut begun = false;
    loop {
        let mut relay = Relay {
            client: &mut pair.client,
            inbox: &mut pair.inbox,
            upstream: &mut pair.upstream,
            follower: &mut pair.follower,
            live: &trail.presence.live,
        };
        let halt = poll_fn(|cx| {
            if !begun {
                begun = true;
                if let Err(end) = relay.begin(cx) {
                    return Poll::Ready(Ok(end));
                }
            }
            let relayed = relay.poll(cx);
            if relay.follower.takes_database() {
                target.pool.vacate();
            }
            if let Poll::Ready(end) = relayed {
                return Poll::Ready(Ok(end));
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err((Cut::Drain, "the proxy is being stopped")));
            }
            over = over || ended.as_mut().poll(cx).is_ready();
            // A statement under way may be the last that the server answers.
            if over && relay.follower.standing() != Standing::Active {
                return Poll::Ready(Err((
                    Cut::Failover,
                    "the server is not the writer any more; connect again",
                )));
            }
            if limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Err((
                    Cut::TimeLimit,
                    "the session has reached its time limit",
                )));
            }
            Poll::Pending
        });
        match halt.await {
            Ok(End::Client) => {
                return Outcome::Left { reusable: pair.follower.standing() == Standing::Idle };
            }
            Ok(End::ClientBroken(error)) => {
                trail.note("the client's connection broke", &error);
                return Outcome::Left { reusable: false };
            }
            Ok(End::Fault(fault)) => {
                // A client that does not hear it is told by the end of the connection.
                let _unheard = pair.client.write_all(fault.farewell()).await;
                trail.trouble(&Trouble::Client(Broken::Fault(fault)));
                return Outcome::Left { reusable: false };
            }
            Ok(End::Server) => return Outcome::ServerGone,
            Ok(End::ServerBroken(error)) => {
                trail.note("the server's connection broke", &error);
                return Outcome::ServerGone;
            }
            Ok(End::Errand(errand)) => {
                let Pair { client, inbox, upstream, follower, .. } = &mut *pair;
                let parties = Parties {
                    client,
                    inbox,
                    upstream,
                    dialer: &target.dialer,
                    target: &target.settings,
                    follower,
                };
                let deadline = Instant::now() + target.settings.connect_timeout;
                if let Err(trouble) = Box::pin(target.protocol.run(errand, parties, deadline)).await
                {
                    trail.trouble(&trouble);
                    return Outcome::ServerGone;
                }
                begun = false;
            }
            Err((cut, why)) => return Outcome::Cut(cut, why),
        }
    }
}

/// Says goodbye to both.
async fn part<P: Protocol>(target: &Target<P>, pair: Pair<P>, outcome: &Outcome) {
    let Pair { mut client, upstream, stay, follower, .. } = pair;
    if let Outcome::Cut(_, why) = outcome
        && follower.standing() != Standing::Active
    {
        // Within an answer, more words would be taken for a part of it.
        let _unheard = client.write_all(&P::parting(why)).await;
    }
    // Nobody recalls a statement of this session any more before somebody else has it.
    let reusable = matches!(outcome, Outcome::Left { reusable: true }) && !P::is_recalled(&stay);
    drop(stay);
    let leave_server = async {
        match outcome {
            Outcome::Left { .. } if reusable => target.pool.release(upstream).await,
            Outcome::ServerGone => {}
            Outcome::Left { .. } | Outcome::Cut(..) => upstream.close().await,
        }
    };
    // A client that is slow to go keeps nobody from its session.
    tokio::join!(client.close(), leave_server);
}

/// A client's trouble, as a failure.
fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Client(Broken::Closed) => {
            Failure::new(Class::Protocol, "the client went away within its login")
        }
        Trouble::Client(Broken::Tls(error)) => {
            Failure::new(Class::TlsFailed, format!("TLS with the client failed: {error}"))
        }
        Trouble::Client(broken) => Failure::new(Class::Protocol, broken.to_string()),
        Trouble::Server(refusal) => refusal.failure,
    }
}

fn gone(error: &std::io::Error) -> String {
    format!("the client went away before it was welcomed: {error}")
}
