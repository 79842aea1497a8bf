//! One connection: its messages, one after the other, and its time.

use std::time::Duration;
use std::{fmt, io};

use countersign_core::failure::{Class, Failure};
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::Bind;
use super::codec::{
    Head, MAX_HEAD, Malformed, Message, MessageId, Request, ResultCode, bind_response, head,
    notice_of_disconnection, other_response, parse,
};

/// The time that a connection is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// In all, whatever happens on it. PostgreSQL makes a connection for each login.
    lifetime: Duration,
    /// In silence, between messages.
    idle: Duration,
}

impl Limits {
    pub(super) const USUAL: Self =
        Self { lifetime: Duration::from_secs(10), idle: Duration::from_secs(5) };
}

/// How long the last words may take once the time is up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// The other side said so, or hung up between two messages.
    Done,
    /// What came was not LDAP.
    Malformed(Malformed),
    /// An operation other than a bind was asked for.
    Unwilling,
    /// The time was up.
    Late,
    /// The connection broke.
    Broken(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("the client was done"),
            Self::Malformed(Malformed(why)) => write!(f, "a message is malformed: {why}"),
            Self::Unwilling => f.write_str("the client asked for more than binds"),
            Self::Late => f.write_str("its time was up"),
            Self::Broken(error) => write!(f, "it broke: {error}"),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Holds the conversation on `stream` to its end.
pub(super) async fn hold<S, V, D>(mut stream: S, verify: &V, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let deadline = Instant::now() + limits.lifetime;
    loop {
        let first = deadline.min(Instant::now() + limits.idle);
        let Err(end) = exchange(&mut stream, verify, first, deadline).await else {
            continue;
        };
        if !matches!(end, End::Done) {
            tracing::warn!(%end, "a connection of the LDAP front ended early");
        }
        let notice = match end {
            End::Malformed(Malformed(why)) => {
                notice_of_disconnection(ResultCode::ProtocolError, why)
            }
            End::Late => notice_of_disconnection(
                ResultCode::Unavailable,
                "the time of the connection is over",
            ),
            End::Done | End::Unwilling | End::Broken(_) => return,
        };
        // Whether it arrives is the client's affair: the conversation is over.
        let _ = say(&mut stream, &notice).await;
        return;
    }
}

/// One message, whose first byte comes by `first`, and its answer.
async fn exchange<S, V, D>(
    stream: &mut S,
    verify: &V,
    first: Instant,
    deadline: Instant,
) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let body = receive(stream, first, deadline).await?;
    let Message { id, request } = parse(&body)?;
    match request {
        Request::Simple { name, password } => {
            let bind = bind(name, password);
            // The message holds the token too.
            drop(body);
            bound(stream, id, bind, verify, deadline).await
        }
        Request::Refused(code) => {
            Ok(say(stream, &bind_response(id, code, "a simple bind of LDAP 3 is needed")).await?)
        }
        Request::Abandon => Ok(()),
        Request::Unbind => Err(End::Done),
        Request::Other(tag) => {
            say(
                stream,
                &other_response(
                    id,
                    tag,
                    ResultCode::UnwillingToPerform,
                    "binds alone are answered here",
                ),
            )
            .await?;
            Err(End::Unwilling)
        }
    }
}

async fn bound<S, V, D>(
    stream: &mut S,
    id: MessageId,
    bind: Result<Bind, Refusal>,
    verify: &V,
    deadline: Instant,
) -> Result<(), End>
where
    S: AsyncWrite + Unpin,
    V: Fn(Bind) -> D,
    D: Future<Output = Result<(), Failure>>,
{
    let answer = match bind {
        Ok(bind) => timeout_at(deadline, verify(bind)).await,
        Err(Refusal(code, why)) => return Ok(say(stream, &bind_response(id, code, why)).await?),
    };
    let late = answer.is_err();
    let response = match answer {
        Ok(Ok(())) => bind_response(id, ResultCode::Success, ""),
        Ok(Err(failure)) => bind_response(id, code(failure.class), failure.class.public()),
        Err(_) => bind_response(id, code(Class::TimedOut), Class::TimedOut.public()),
    };
    say(stream, &response).await?;
    if late { Err(End::Late) } else { Ok(()) }
}

/// The body of the next message: it holds a token, so it is wiped on drop.
async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    first: Instant,
    deadline: Instant,
) -> Result<Zeroizing<Vec<u8>>, End> {
    let mut start = [0; MAX_HEAD];
    let Ok(read) = timeout_at(first, stream.read(start.get_mut(..1).unwrap_or_default())).await
    else {
        return Err(End::Late);
    };
    let mut have = read?;
    if have == 0 {
        return Err(End::Done);
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
    timeout_at(deadline, whole).await.unwrap_or(Err(End::Late))
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    timeout(FAREWELL, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    })
    .await?
}

/// A bind that is refused without being asked about, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal(ResultCode, &'static str);

fn bind(name: &[u8], password: &[u8]) -> Result<Bind, Refusal> {
    match (name, password) {
        // RFC 4513, 5.1.1 and 5.1.2: either would bind as nobody, and succeed.
        ([], []) => {
            return Err(Refusal(
                ResultCode::InappropriateAuthentication,
                "anonymous binds are refused",
            ));
        }
        (_, []) => {
            return Err(Refusal(
                ResultCode::UnwillingToPerform,
                "binds without a password are refused",
            ));
        }
        _ => {}
    }
    let unnamed = Refusal(
        ResultCode::InvalidDnSyntax,
        "the name is not cn=USER,dc=INSTANCE: see ldapprefix and ldapsuffix",
    );
    // PostgreSQL puts its prefix and suffix around the user as it is: nothing is escaped, so the user may hold anything
    // that a name of LDAP may not. An instance holds no comma, so that the last suffix is the server's.
    let name = std::str::from_utf8(name).map_err(|_| unnamed)?;
    let (user, instance) =
        name.strip_prefix("cn=").and_then(|rest| rest.rsplit_once(",dc=")).ok_or(unnamed)?;
    let (user, instance) =
        (user.parse().map_err(|_| unnamed)?, instance.parse().map_err(|_| unnamed)?);
    if password.len() > MAX_TOKEN {
        return Err(Refusal(code(Class::Malformed), Class::Malformed.public()));
    }
    Ok(Bind { instance, user, token: verifier_protocol::password(password) })
}

/// What a refusal is to a client of LDAP. PostgreSQL treats all alike, and logs the number's name and the diagnostic.
const fn code(class: Class) -> ResultCode {
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
