//! A client connection from accept to close.

mod interrupts;
mod recorder;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use countersign_connect::dialer::ConnectError;
use countersign_connect::drive::DriveError;
use countersign_connect::transport::{Socket, Transport};
use countersign_core::failure::{Class, Failure};
use countersign_wire::ReadBuffer;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;

use crate::limit::{ConnPermits, OverLimit};
use crate::metrics::TerminationReason;
use crate::protocol::{
    CancelGuard, ClientRequest, InterceptCtx, InterceptedBy, LoginParams as _, Protocol,
    SessionError, SessionTracker, TransactionState, UpstreamOf,
};
use crate::relay::{Relay, RelayEnd};
use crate::target::Target;
use crate::telemetry::Step;
use interrupts::Interrupts;
use recorder::{SessionEnd, SessionRecorder};

/// Maximum duration of sending an error to a rejected client.
const REJECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct AcceptedConn {
    pub(crate) socket: Socket,
    /// Address or process of the client, for the log and the status.
    pub(crate) peer: String,
    /// Permits of the connection limits, or the error that the client receives.
    pub(crate) permits: Result<ConnPermits, OverLimit>,
    pub(crate) accepted_at: Instant,
}

/// A client after its authentication by the proxy.
struct AuthenticatedClient<P: Protocol> {
    transport: Transport,
    buffer: ReadBuffer,
    params: P::Params,
    reply: P::Reply,
    accepted_at: Instant,
    _permits: ConnPermits,
}

/// A client and its server connection.
struct ProxySession<P: Protocol> {
    client: Transport,
    client_buffer: ReadBuffer,
    upstream: UpstreamOf<P>,
    tracker: P::Tracker,
    cancel_guard: CancelGuard,
}

/// Serves a client connection until it is closed.
///
/// The future of each step is boxed, so that a connection occupies memory for its current step
/// only.
pub(crate) async fn handle_connection<P: Protocol>(target: Arc<Target<P>>, conn: AcceptedConn) {
    let AcceptedConn { socket, peer, permits, accepted_at } = conn;
    let recorder = SessionRecorder::open(&target, peer);
    let mut transport = match socket.reregister() {
        Ok(socket) => Transport::from(socket),
        Err(error) => {
            let detail = format!("cannot register the client's socket: {error}");
            return recorder.rejected(&Failure::new(Class::Internal, detail));
        }
    };
    let mut buffer = ReadBuffer::default();
    let deadline = accepted_at + target.login_timeout;
    let accept = target
        .protocol
        .accept_login(&target.dialer, &mut transport, &mut buffer, deadline)
        .instrument(recorder.step(Step::Accept));
    match Box::pin(timeout_at(deadline, accept)).await {
        Ok(Ok(ClientRequest::Login(params, reply))) => {
            let params = params.with_overrides(&target.settings);
            recorder.set_user(params.user(), params.database());
            match permits {
                Ok(permits) => {
                    let client = AuthenticatedClient {
                        transport,
                        buffer,
                        params,
                        reply,
                        accepted_at,
                        _permits: permits,
                    };
                    Box::pin(run_session(target, client, recorder)).await;
                }
                Err(over_limit) => {
                    let error = over_limit.failure.into();
                    Box::pin(reject::<P>(transport, &reply, error, recorder)).await;
                }
            }
        }
        Ok(Ok(ClientRequest::Cancel(key))) => {
            recorder.cancel_finished(Box::pin(target.cancel(&key)).await);
        }
        Ok(Err(error)) => {
            recorder.rejected(&login_failure(error));
            // An orderly close, so that the client receives the last message.
            Box::pin(transport.close()).await;
        }
        Err(_) => recorder.rejected(&Failure::new(
            Class::TimedOut,
            "the client did not complete its login in time",
        )),
    }
}

/// Acquires a server connection for the client, and relays until the session ends.
async fn run_session<P: Protocol>(
    target: Arc<Target<P>>,
    client: AuthenticatedClient<P>,
    mut recorder: SessionRecorder,
) {
    let AuthenticatedClient { mut transport, buffer, params, reply, accepted_at, _permits } =
        client;
    let acquire = Box::pin(target.acquire(&params)).instrument(recorder.step(Step::Login));
    let upstream = match acquire.await {
        Ok(upstream) => upstream,
        Err(error) => return Box::pin(reject::<P>(transport, &reply, error, recorder)).await,
    };
    let tracker = P::tracker(&upstream);
    let cancel_guard = match complete_login(&target, &mut transport, reply, &upstream).await {
        Ok(guard) => guard,
        Err(failure) => {
            recorder.rejected(&failure);
            return Box::pin(target.pool.release(upstream)).await;
        }
    };
    recorder.established(&upstream, accepted_at);

    let mut session = ProxySession::<P> {
        client: transport,
        client_buffer: buffer,
        upstream,
        tracker,
        cancel_guard,
    };
    // The span is held, not entered at every poll.
    let relay_span = recorder.step(Step::Relay);
    let end = relay_session(&target, &mut session, &recorder).await;
    drop(relay_span);
    recorder.closed(&end);
    Box::pin(teardown(&target, session, &end)).await;
}

/// Sends the messages that complete the client's login.
async fn complete_login<P: Protocol>(
    target: &Target<P>,
    client: &mut Transport,
    reply: P::Reply,
    upstream: &UpstreamOf<P>,
) -> Result<CancelGuard, Failure> {
    let (bytes, cancel_guard) = target.protocol.login_ok(reply, upstream)?;
    match client.write_all(&bytes).await {
        Ok(()) => Ok(cancel_guard),
        Err(error) => {
            let detail = format!("the client disconnected before its login completed: {error}");
            Err(Failure::new(Class::Protocol, detail))
        }
    }
}

/// Sends an error to a client instead of completing its login, and closes the connection.
async fn reject<P: Protocol>(
    mut client: Transport,
    reply: &P::Reply,
    error: ConnectError,
    recorder: SessionRecorder,
) {
    let send = async {
        // The client may have disconnected. The recorder logs the error in any case.
        let _disconnected = client.write_all(&P::login_error(reply, &error)).await;
        client.close().await;
    };
    let _elapsed = timeout(REJECT_TIMEOUT, send).await;
    recorder.rejected(&error.failure);
}

/// Reason why forwarding stopped.
enum Stop<P: Protocol> {
    Relay(RelayEnd<P>),
    Interrupt(TerminationReason),
}

/// Forwards between client and server, and executes intercepted requests, until the session
/// ends.
async fn relay_session<P: Protocol>(
    target: &Target<P>,
    session: &mut ProxySession<P>,
    recorder: &SessionRecorder,
) -> SessionEnd {
    let mut interrupts = Interrupts::new(target, session.upstream.failover_epoch);
    loop {
        let end = match session.forward(target, recorder, &mut interrupts).await {
            Stop::Interrupt(reason) => return SessionEnd::Terminated(reason),
            Stop::Relay(end) => end,
        };
        match end {
            RelayEnd::Intercepted(request) => {
                if let Err(error) = session.execute(target, request).await {
                    recorder.failed(&error);
                    return SessionEnd::ServerClosed;
                }
            }
            RelayEnd::ClientClosed => {
                let reusable = session.tracker.state() == TransactionState::Idle;
                return SessionEnd::ClientClosed { reusable };
            }
            RelayEnd::ClientFailed(error) => {
                recorder.connection_lost("client", &error);
                return SessionEnd::ClientClosed { reusable: false };
            }
            RelayEnd::ProtocolViolation(error) => {
                // A client that cannot be reached learns of it by the closed connection.
                let _sent = session.client.write_all(error.error_packet()).await;
                recorder.failed(&SessionError::Client(DriveError::Protocol(error)));
                return SessionEnd::ClientClosed { reusable: false };
            }
            RelayEnd::ServerClosed => return SessionEnd::ServerClosed,
            RelayEnd::ServerFailed(error) => {
                recorder.connection_lost("server", &error);
                return SessionEnd::ServerClosed;
            }
        }
    }
}

impl<P: Protocol> ProxySession<P> {
    /// Forwards until either connection ends, a request is intercepted, or the proxy interrupts
    /// the session.
    async fn forward(
        &mut self,
        target: &Target<P>,
        recorder: &SessionRecorder,
        interrupts: &mut Interrupts,
    ) -> Stop<P> {
        let info = recorder.info();
        let Self { client, client_buffer, upstream, tracker, .. } = self;
        let mut relay = Relay::new(client, client_buffer, upstream, tracker, info);
        poll_fn(|cx| {
            let relayed = relay.poll(cx);
            if relay.take_exclusive_ddl_flag() {
                target.pool.close_idle_for_ddl();
            }
            match relayed {
                Poll::Ready(end) => Poll::Ready(Stop::Relay(end)),
                Poll::Pending => interrupts.poll(cx, relay.state()).map(Stop::Interrupt),
            }
        })
        .await
    }

    async fn execute(
        &mut self,
        target: &Target<P>,
        request: InterceptedBy<P>,
    ) -> Result<(), SessionError> {
        let Self { client, client_buffer, upstream, tracker, .. } = self;
        let ctx = InterceptCtx {
            client,
            client_buffer,
            upstream,
            tracker,
            dialer: &target.dialer,
            target: &target.settings,
        };
        Box::pin(target.protocol.handle_intercepted(request, ctx, target.deadline())).await
    }
}

/// Closes both connections; returns the server connection to the pool if it is reusable.
async fn teardown<P: Protocol>(target: &Target<P>, session: ProxySession<P>, end: &SessionEnd) {
    let ProxySession { mut client, upstream, tracker, cancel_guard, .. } = session;
    if let SessionEnd::Terminated(reason) = end
        && tracker.state() != TransactionState::Active
    {
        // Within a response of the server, the message would be read as a part of it.
        let _sent = client.write_all(&P::shutdown_error(reason.message())).await;
    }
    // Consuming the guard ends cancel requests for this session before its connection is reused.
    let reusable = !cancel_guard.cancel_was_forwarded()
        && matches!(end, SessionEnd::ClientClosed { reusable: true });
    let close_upstream = async {
        match end {
            SessionEnd::ClientClosed { .. } if reusable => target.pool.release(upstream).await,
            SessionEnd::ServerClosed => {}
            SessionEnd::ClientClosed { .. } | SessionEnd::Terminated(..) => {
                upstream.close(&P::terminate_message()).await;
            }
        }
    };
    // A client that is slow to close does not delay the reuse of its server connection.
    tokio::join!(client.close(), close_upstream);
}

/// Converts an error of a client's login.
fn login_failure(error: SessionError) -> Failure {
    match error {
        SessionError::Client(DriveError::Closed) => {
            Failure::new(Class::Protocol, "the client disconnected during its login")
        }
        SessionError::Client(DriveError::Tls(error)) => {
            Failure::new(Class::TlsFailed, format!("TLS with the client failed: {error}"))
        }
        SessionError::Client(error) => Failure::new(Class::Protocol, error.to_string()),
        SessionError::Server(error) => error.failure,
    }
}
