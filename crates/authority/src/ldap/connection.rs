//! One LDAP connection: its messages, one after the other, and its time limits.

use std::time::Duration;
use std::{fmt, io};

use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, InstanceId};
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::codec::{
    Head, MAX_HEAD, Malformed, Message, MessageId, Request, ResultCode, bind_response, head,
    notice_of_disconnection, other_response, parse,
};

/// Request of a database server to verify one login. `Debug` omits the token, whose memory is wiped
/// on drop.
pub struct Bind {
    /// Instance, from the suffix.
    pub instance: InstanceId,
    /// Database user.
    pub user: DbUser,
    /// Password that the client sent: not empty, and at most [`MAX_TOKEN`] bytes. U+FFFD replaces
    /// what is not UTF-8.
    pub token: Zeroizing<String>,
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bind")
            .field("instance", &self.instance)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Maximum lifetime. PostgreSQL opens a connection for each login.
    lifetime: Duration,
    /// Maximum time between messages.
    idle: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self =
        Self { lifetime: Duration::from_secs(10), idle: Duration::from_secs(5) };
}

/// Maximum time to write a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Reason for the end of a connection.
#[derive(Debug)]
enum ConnectionEnd {
    /// The client sent an unbind request, or closed the connection between two messages.
    Closed,
    /// The client sent bytes that are not LDAP.
    Malformed(Malformed),
    /// The client requested an operation other than a bind.
    UnsupportedOperation,
    /// A time limit was reached.
    TimedOut,
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the client"),
            Self::Malformed(Malformed(why)) => write!(f, "malformed message: {why}"),
            Self::UnsupportedOperation => f.write_str("operation other than a bind"),
            Self::TimedOut => f.write_str("time limit reached"),
            Self::Io(error) => write!(f, "connection lost: {error}"),
        }
    }
}

impl From<io::Error> for ConnectionEnd {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for ConnectionEnd {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Serves the connection `stream` to its end.
pub(super) async fn serve_connection<S, V, D>(mut stream: S, verify: &V, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let deadline = Instant::now() + limits.lifetime;
    loop {
        let idle_deadline = deadline.min(Instant::now() + limits.idle);
        let Err(end) = serve_message(&mut stream, verify, idle_deadline, deadline).await else {
            continue;
        };
        if !matches!(end, ConnectionEnd::Closed) {
            tracing::warn!(%end, listener = "ldap", "connection closed");
        }
        let notice = match end {
            ConnectionEnd::Malformed(Malformed(why)) => {
                notice_of_disconnection(ResultCode::ProtocolError, why)
            }
            ConnectionEnd::TimedOut => notice_of_disconnection(
                ResultCode::Unavailable,
                "time limit of the connection reached",
            ),
            ConnectionEnd::Closed | ConnectionEnd::UnsupportedOperation | ConnectionEnd::Io(_) => {
                return;
            }
        };
        // The connection ends whether or not the notice can be sent.
        let _ = send(&mut stream, &notice).await;
        return;
    }
}

/// Reads one message, whose first byte must arrive by `idle_deadline`, and responds.
async fn serve_message<S, V, D>(
    stream: &mut S,
    verify: &V,
    idle_deadline: Instant,
    deadline: Instant,
) -> Result<(), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let body = receive(stream, idle_deadline, deadline).await?;
    let Message { id, request } = parse(&body)?;
    match request {
        Request::Simple { name, password } => {
            let bind = parse_bind(name, password);
            // The message contains the token too.
            drop(body);
            respond_to_bind(stream, id, bind, verify, deadline).await
        }
        Request::Refused(code) => {
            let response = bind_response(id, code, "only simple binds of LDAP 3 are supported");
            Ok(send(stream, &response).await?)
        }
        Request::Abandon => Ok(()),
        Request::Unbind => Err(ConnectionEnd::Closed),
        Request::Other(tag) => {
            let diagnostic = "only bind requests are supported";
            let code = ResultCode::UnwillingToPerform;
            send(stream, &other_response(id, tag, code, diagnostic)).await?;
            Err(ConnectionEnd::UnsupportedOperation)
        }
    }
}

async fn respond_to_bind<S, V, D>(
    stream: &mut S,
    id: MessageId,
    bind: Result<Bind, BindRejection>,
    verify: &V,
    deadline: Instant,
) -> Result<(), ConnectionEnd>
where
    S: AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let result = match bind {
        Ok(bind) => timeout_at(deadline, verify(bind)).await,
        Err(BindRejection(code, why)) => {
            return Ok(send(stream, &bind_response(id, code, why)).await?);
        }
    };
    let timed_out = result.is_err();
    let response = match result {
        Ok(Ok(())) => bind_response(id, ResultCode::Success, ""),
        Ok(Err(failure)) => bind_response(id, result_code(failure.class), failure.class.public()),
        Err(_) => bind_response(id, result_code(Class::TimedOut), Class::TimedOut.public()),
    };
    send(stream, &response).await?;
    if timed_out { Err(ConnectionEnd::TimedOut) } else { Ok(()) }
}

/// Reads the body of the next message. It contains a token, so it is wiped on drop.
async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    idle_deadline: Instant,
    deadline: Instant,
) -> Result<Zeroizing<Vec<u8>>, ConnectionEnd> {
    let mut start = [0; MAX_HEAD];
    let first = stream.read(start.get_mut(..1).unwrap_or_default());
    let Ok(read) = timeout_at(idle_deadline, first).await else {
        return Err(ConnectionEnd::TimedOut);
    };
    let mut have = read?;
    if have == 0 {
        return Err(ConnectionEnd::Closed);
    }
    let whole = async {
        let length = loop {
            match head(start.get(..have).unwrap_or_default())? {
                Head::Whole(length) => break length,
                Head::Partial(missing) => {
                    stream
                        .read_exact(start.get_mut(have..have + missing).unwrap_or_default())
                        .await?;
                    have += missing;
                }
            }
        };
        let mut body = Zeroizing::new(vec![0; length]);
        stream.read_exact(&mut body).await?;
        Ok(body)
    };
    timeout_at(deadline, whole).await.unwrap_or(Err(ConnectionEnd::TimedOut))
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    })
    .await?
}

/// Result code and diagnostic of a bind that is rejected without a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BindRejection(ResultCode, &'static str);

fn parse_bind(name: &[u8], password: &[u8]) -> Result<Bind, BindRejection> {
    match (name, password) {
        // RFC 4513, 5.1.1 and 5.1.2: both would succeed as anonymous.
        ([], []) => {
            return Err(BindRejection(
                ResultCode::InappropriateAuthentication,
                "anonymous binds are not accepted",
            ));
        }
        (_, []) => {
            return Err(BindRejection(
                ResultCode::UnwillingToPerform,
                "binds without a password are not accepted",
            ));
        }
        _ => {}
    }
    let invalid_name = BindRejection(
        ResultCode::InvalidDnSyntax,
        "name is not cn=USER,dc=INSTANCE; check ldapprefix and ldapsuffix",
    );
    // PostgreSQL inserts the user between prefix and suffix without escaping, so the user may
    // contain any character. An instance name contains no comma, so the last suffix is the
    // server's.
    let name = std::str::from_utf8(name).map_err(|_| invalid_name)?;
    let (user, instance) =
        name.strip_prefix("cn=").and_then(|rest| rest.rsplit_once(",dc=")).ok_or(invalid_name)?;
    let (user, instance) =
        (user.parse().map_err(|_| invalid_name)?, instance.parse().map_err(|_| invalid_name)?);
    if password.len() > MAX_TOKEN {
        return Err(BindRejection(result_code(Class::Malformed), Class::Malformed.public()));
    }
    Ok(Bind { instance, user, token: verifier_protocol::password(password) })
}

/// Returns the result code of a denial. PostgreSQL treats all codes alike, and logs the code's name
/// and the diagnostic.
const fn result_code(class: Class) -> ResultCode {
    match class {
        Class::Throttled => ResultCode::Busy,
        Class::Unavailable | Class::TimedOut | Class::Protocol | Class::UntrustedPeer => {
            ResultCode::Unavailable
        }
        Class::Configuration | Class::Internal => ResultCode::Other,
        _ => ResultCode::InvalidCredentials,
    }
}

#[cfg(test)]
mod tests;
