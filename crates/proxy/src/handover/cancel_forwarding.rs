//! What clients of the old proxy say to the new one: who cancels a statement opens another connection, to the same address.

use std::fmt;
use std::io;

use countersign_core::failure::{Class, Failure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{ANSWER_TIME, HandoverServer, broken};

/// The longest call, in bytes: a target's name, and a key of 256 bytes written as JSON has it.
const MOST: usize = 4 * 1024;

/// A request to cancel, whose key is none of the new proxy's. It is not in the log: the key is a secret.
#[derive(Serialize, Deserialize)]
struct Call {
    target: String,
    key: Vec<u8>,
}

/// The proxy that has handed its listeners over and still has sessions, as the new one sees it.
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

    /// Passes on a request to cancel that came to `target` with a `key` that is not known here. There is no answer, as there is none
    /// to the client either.
    ///
    /// # Errors
    /// [`Class::Unavailable`], [`Class::TimedOut`] where the old proxy is gone, with all its sessions, or does not listen;
    /// [`Class::Protocol`] for a key that is too long to be one.
    pub async fn cancel(&self, target: &str, key: &[u8]) -> Result<(), Failure> {
        let odd = || Failure::new(Class::Protocol, "a cancel request can't be passed on");
        let call = serde_json::to_vec(&Call { target: target.to_owned(), key: key.to_vec() })
            .map_err(|_| odd())?;
        let length =
            u32::try_from(call.len()).ok().filter(|_| call.len() <= MOST).ok_or_else(odd)?;
        let framed = [length.to_be_bytes().as_slice(), &call].concat();
        // Under the lock to the end: half a call would spoil those after it.
        let sent = async { self.0.lock().await.write_all(&framed).await };
        let late = |_| Failure::new(Class::TimedOut, "the old proxy does not listen any more");
        timeout(ANSWER_TIME, sent).await.map_err(late)?.map_err(|error| broken(&error))
    }
}

/// The proxy that has taken the listeners, as the old one sees it.
#[derive(Debug)]
pub struct Successor(UnixStream);

impl Successor {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Does what the clients of `offer`'s proxy ask by way of the new one, until that is gone.
    ///
    /// # Errors
    /// [`Class::Protocol`] for what is no call; [`Class::Unavailable`] where one breaks off.
    pub async fn answer(mut self, offer: &HandoverServer) -> Result<(), Failure> {
        loop {
            let length = match self.0.read_u32().await {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(broken(&error)),
            };
            let odd = || {
                Failure::new(
                    Class::Protocol,
                    "the new proxy speaks another version of the handover",
                )
            };
            let length =
                usize::try_from(length).ok().filter(|length| *length <= MOST).ok_or_else(odd)?;
            let mut call = vec![0; length];
            self.0.read_exact(&mut call).await.map_err(|error| broken(&error))?;
            let call: Call = serde_json::from_slice(&call).map_err(|_| odd())?;
            (offer.cancel)(&call.target, &call.key);
        }
    }
}
