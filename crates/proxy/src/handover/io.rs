//! Reads and writes of the handover protocol, with their time limits and errors.

use std::io;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Maximum duration of a message of the other process.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads `word`.
pub(super) async fn expect(stream: &mut UnixStream, word: &[u8]) -> Result<(), Failure> {
    let mut received = vec![0; word.len()];
    stream.read_exact(&mut received).await.map_err(|error| disconnected(&error))?;
    if received == word {
        Ok(())
    } else {
        Err(unexpected("it sent an unknown message; both proxies must have compatible versions"))
    }
}

/// Writes `word`.
pub(super) async fn send(stream: &mut UnixStream, word: &[u8]) -> Result<(), Failure> {
    stream.write_all(word).await.map_err(|error| disconnected(&error))
}

/// Runs a step of the protocol with a time limit.
pub(super) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, step).await.map_err(|_| {
        let detail = format!("the other proxy did not answer within {} s", limit.as_secs());
        Failure::new(Class::TimedOut, detail)
    })?
}

/// Checks that the other process belongs to the same user.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), Failure> {
    let uid = stream.peer_cred().map_err(|error| disconnected(&error))?.uid();
    if uid == rustix::process::getuid().as_raw() {
        return Ok(());
    }
    let detail = format!("the other process belongs to another user (uid {uid})");
    Err(Failure::new(Class::UntrustedPeer, detail))
}

/// Converts an error of the connection.
pub(super) fn disconnected(error: &io::Error) -> Failure {
    Failure::new(Class::Unavailable, format!("the other proxy closed the connection: {error}"))
}

/// Returns the failure for an unexpected message.
pub(super) fn unexpected(cause: &str) -> Failure {
    Failure::new(Class::Protocol, format!("cannot read the message of the other proxy: {cause}"))
}
