//! One client, from its first byte to its last.

mod recorder;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use countersign_connect::dialer::ConnectError;
use countersign_connect::drive::DriveError;
use countersign_connect::transport::{Socket, Transport};
use countersign_core::failure::{Class, Failure};
use countersign_wire::ReadBuffer;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::limit::{OverLimit, Slot};
use crate::metrics::Cut;
use crate::protocol::{
    ClientRequest, InterceptCtx, Protocol, SessionError, SessionTracker, TransactionState,
};
use crate::relay::{End, Relay};
use crate::shutdown::ShutdownPhase;
use crate::target::Target;
use crate::telemetry::Step;
use crate::upstream::Upstream;
use recorder::SessionRecorder;
use tracing::Instrument as _;

/// How long a client that is refused may take to hear of it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct AcceptedConn {
    pub(crate) socket: Socket,
    /// Where it comes from, as the log and `status` tell it.
    pub(crate) origin: String,
    /// Its place among those that the proxy and the target have room for; a refusal where there is none.
    pub(crate) slot: Result<Slot, OverLimit>,
    pub(crate) accepted: Instant,
}

/// A client that has been taken in.
struct AuthenticatedClient<P: Protocol> {
    client: Transport,
    inbox: ReadBuffer,
    wish: P::Wish,
    reply: P::Reply,
    accepted: Instant,
    _slot: Slot,
}

/// A client and its session on the server.
struct ProxySession<P: Protocol> {
    client: Transport,
    inbox: ReadBuffer,
    upstream: Upstream<P>,
    stay: P::Stay,
    follower: P::Follower,
}

/// Why a session that was handed through is over.
enum SessionEnd {
    /// The client is gone. Whether the server's session was left where it is nobody's.
    ClientClosed { reusable: bool },
    /// The server has ended it.
    ServerClosed,
    /// We have.
    Terminated(Cut, &'static str),
}

/// Serves one client: takes it in, and then its visit.
///
/// Each step is boxed: a client that waits in one takes no memory for the others.
pub(crate) async fn handle_connection<P: Protocol>(target: Arc<Target<P>>, guest: AcceptedConn) {
    let AcceptedConn { socket, origin, slot, accepted } = guest;
    let trail = SessionRecorder::open(&target, origin);
    let mut client = match socket.reregister() {
        Ok(socket) => Transport::from(socket),
        Err(error) => {
            return trail.refused(&Failure::new(
                Class::Internal,
                format!("the client's socket can't be taken over: {error}"),
            ));
        }
    };
    let mut inbox = ReadBuffer::default();
    let deadline = accepted + target.login_timeout;
    let accept = trail.step(Step::Accept);
    let taking = target
        .protocol
        .accept_login(&target.dialer, &mut client, &mut inbox, deadline)
        .instrument(accept);
    let taken = Box::pin(timeout_at(deadline, taking)).await;
    match taken {
        Ok(Ok(ClientRequest::Login(wish, reply))) => {
            let wish = P::apply_target_overrides(wish, &target.settings);
            trail.names(P::names(&wish));
            match slot {
                Ok(slot) => {
                    Box::pin(run_session(
                        target,
                        AuthenticatedClient { client, inbox, wish, reply, accepted, _slot: slot },
                        trail,
                    ))
                    .await
                }
                Err(turned) => {
                    Box::pin(refuse::<P>(client, &reply, turned.failure.into(), trail)).await
                }
            }
        }
        Ok(Ok(ClientRequest::Cancel(call))) => {
            trail.cancel_finished(Box::pin(target.answer(call)).await)
        }
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
async fn run_session<P: Protocol>(
    target: Arc<Target<P>>,
    visitor: AuthenticatedClient<P>,
    mut trail: SessionRecorder,
) {
    let AuthenticatedClient { mut client, inbox, wish, reply, accepted, _slot } = visitor;
    let upstream = match Box::pin(target.acquire(&wish)).instrument(trail.step(Step::Login)).await {
        Ok(upstream) => upstream,
        Err(refusal) => return Box::pin(refuse::<P>(client, &reply, refusal, trail)).await,
    };
    let follower = P::follower(&upstream);
    let stay = match target.protocol.login_ok(reply, &upstream) {
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
    trail.established(&upstream, accepted);

    let mut pair = ProxySession::<P> { client, inbox, upstream, stay, follower };
    // Held, and not entered each time that a byte comes.
    let relaying = trail.step(Step::Relay);
    let outcome = relay_session(&target, &mut pair, &trail).await;
    drop(relaying);
    trail.close(&outcome);
    Box::pin(teardown(&target, pair, &outcome)).await;
}

/// Tells the client why it has no session.
async fn refuse<P: Protocol>(
    mut client: Transport,
    reply: &P::Reply,
    refusal: ConnectError,
    trail: SessionRecorder,
) {
    let told = async {
        // A client that has gone hears nothing; the trail has it all the same.
        let _unheard = client.write_all(&P::login_error(reply, &refusal)).await;
        client.close().await;
    };
    let _late = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
    trail.refused(&refusal.failure);
}

/// Lets the two talk until one of them ends it, or we do.
async fn relay_session<P: Protocol>(
    target: &Target<P>,
    pair: &mut ProxySession<P>,
    trail: &SessionRecorder,
) -> SessionEnd {
    let mut stop = target.stop.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop == ShutdownPhase::Terminating));
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
            if relay.follower.take_exclusive_ddl_flag() {
                target.pool.close_idle_for_ddl();
            }
            if let Poll::Ready(end) = relayed {
                return Poll::Ready(Ok(end));
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err((Cut::Drain, "the proxy is being stopped")));
            }
            over = over || ended.as_mut().poll(cx).is_ready();
            // A statement under way may be the last that the server answers.
            if over && relay.follower.standing() != TransactionState::Active {
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
                return SessionEnd::ClientClosed {
                    reusable: pair.follower.standing() == TransactionState::Idle,
                };
            }
            Ok(End::ClientBroken(error)) => {
                trail.note("the client's connection broke", &error);
                return SessionEnd::ClientClosed { reusable: false };
            }
            Ok(End::Fault(fault)) => {
                // A client that does not hear it is told by the end of the connection.
                let _unheard = pair.client.write_all(fault.error_packet()).await;
                trail.trouble(&SessionError::Client(DriveError::Fault(fault)));
                return SessionEnd::ClientClosed { reusable: false };
            }
            Ok(End::Server) => return SessionEnd::ServerClosed,
            Ok(End::ServerBroken(error)) => {
                trail.note("the server's connection broke", &error);
                return SessionEnd::ServerClosed;
            }
            Ok(End::Errand(errand)) => {
                let ProxySession { client, inbox, upstream, follower, .. } = &mut *pair;
                let parties = InterceptCtx {
                    client,
                    inbox,
                    upstream,
                    dialer: &target.dialer,
                    target: &target.settings,
                    follower,
                };
                let deadline = Instant::now() + target.settings.connect_timeout;
                if let Err(trouble) =
                    Box::pin(target.protocol.handle_intercepted(errand, parties, deadline)).await
                {
                    trail.trouble(&trouble);
                    return SessionEnd::ServerClosed;
                }
                begun = false;
            }
            Err((cut, why)) => return SessionEnd::Terminated(cut, why),
        }
    }
}

/// Says goodbye to both.
async fn teardown<P: Protocol>(target: &Target<P>, pair: ProxySession<P>, outcome: &SessionEnd) {
    let ProxySession { mut client, upstream, stay, follower, .. } = pair;
    if let SessionEnd::Terminated(_, why) = outcome
        && follower.standing() != TransactionState::Active
    {
        // Within an answer, more words would be taken for a part of it.
        let _unheard = client.write_all(&P::shutdown_error(why)).await;
    }
    // Nobody recalls a statement of this session any more before somebody else has it.
    let reusable = matches!(outcome, SessionEnd::ClientClosed { reusable: true })
        && !P::cancel_was_forwarded(&stay);
    drop(stay);
    let leave_server = async {
        match outcome {
            SessionEnd::ClientClosed { .. } if reusable => target.pool.release(upstream).await,
            SessionEnd::ServerClosed => {}
            SessionEnd::ClientClosed { .. } | SessionEnd::Terminated(..) => upstream.close().await,
        }
    };
    // A client that is slow to go keeps nobody from its session.
    tokio::join!(client.close(), leave_server);
}

/// A client's trouble, as a failure.
fn failure(trouble: SessionError) -> Failure {
    match trouble {
        SessionError::Client(DriveError::Closed) => {
            Failure::new(Class::Protocol, "the client went away within its login")
        }
        SessionError::Client(DriveError::Tls(error)) => {
            Failure::new(Class::TlsFailed, format!("TLS with the client failed: {error}"))
        }
        SessionError::Client(broken) => Failure::new(Class::Protocol, broken.to_string()),
        SessionError::Server(refusal) => refusal.failure,
    }
}

fn gone(error: &std::io::Error) -> String {
    format!("the client went away before it was welcomed: {error}")
}
