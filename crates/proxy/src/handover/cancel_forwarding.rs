//! Cancel requests after a handover. A client cancels a statement on a new connection, which the
//! new proxy accepts; it forwards requests for sessions of the old proxy.

use std::fmt;
use std::io;

use countersign_core::failure::{Class, Failure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::io::{MESSAGE_TIMEOUT, disconnected, unexpected};

/// Maximum size of a request in bytes: the name of a target, and a key of 256 bytes as JSON.
const MAX_REQUEST: usize = 4 * 1024;

/// A cancel request with a key unknown to the new proxy. It is never logged: the key is a secret.
#[derive(Serialize, Deserialize)]
struct ForwardedCancel {
    target: String,
    key: Vec<u8>,
}

/// The old proxy after the handover, as seen by the new one. It still serves its sessions.
pub struct Predecessor(Mutex<UnixStream>);

impl fmt::Debug for Predecessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predecessor")
    }
}

impl Predecessor {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(Mutex::new(stream))
    }

    /// Forwards a cancel request. The protocol has no answer, as PostgreSQL's has none.
    ///
    /// # Errors
    /// [`Class::Unavailable`] if the old proxy has exited, [`Class::TimedOut`] if it does not
    /// read, [`Class::Protocol`] if the key is too long.
    pub async fn cancel(&self, target: &str, key: &[u8]) -> Result<(), Failure> {
        let invalid = || Failure::new(Class::Protocol, "cannot forward the cancel request");
        let request = ForwardedCancel { target: target.to_owned(), key: key.to_vec() };
        let request = serde_json::to_vec(&request).map_err(|_| invalid())?;
        let length = u32::try_from(request.len()).ok().filter(|_| request.len() <= MAX_REQUEST);
        let length = length.ok_or_else(invalid)?;
        let framed = [length.to_be_bytes().as_slice(), &request].concat();
        // The lock is held until the whole request is sent: a partial one would corrupt the
        // stream.
        let send = async { self.0.lock().await.write_all(&framed).await };
        let timed_out = |_| Failure::new(Class::TimedOut, "the old proxy does not read requests");
        timeout(MESSAGE_TIMEOUT, send)
            .await
            .map_err(timed_out)?
            .map_err(|error| disconnected(&error))
    }
}

/// The new proxy after the handover, as seen by the old one.
#[derive(Debug)]
pub struct Successor(UnixStream);

impl Successor {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Passes the forwarded cancel requests to `cancel` (name of the target, key) until the new
    /// proxy exits.
    ///
    /// # Errors
    /// [`Class::Protocol`] for a malformed request; [`Class::Unavailable`] for an incomplete one.
    pub async fn receive_cancels(mut self, cancel: impl Fn(&str, &[u8])) -> Result<(), Failure> {
        loop {
            let length = match self.0.read_u32().await {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(disconnected(&error)),
            };
            let length = usize::try_from(length).ok().filter(|length| *length <= MAX_REQUEST);
            let length = length.ok_or_else(|| unexpected("the cancel request is too long"))?;
            let mut request = vec![0; length];
            self.0.read_exact(&mut request).await.map_err(|error| disconnected(&error))?;
            let ForwardedCancel { target, key } = serde_json::from_slice(&request)
                .map_err(|_| unexpected("the cancel request is malformed"))?;
            cancel(&target, &key);
        }
    }
}
