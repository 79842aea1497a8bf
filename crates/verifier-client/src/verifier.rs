//! Verification of one login.

use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine, InstanceId};
use countersign_core::verifier_protocol::{Nonce, VerifyRequest, round_trip};
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::connection::{Connection, Deadline, TrustedUsers};

/// A configured verifier. It keeps no connection open between two logins.
#[derive(Debug)]
pub struct Verifier {
    sockets: Vec<PathBuf>,
    instance: InstanceId,
    timeout: Duration,
    configured_uid: Option<u32>,
}

impl Verifier {
    pub(crate) const fn new(
        sockets: Vec<PathBuf>,
        instance: InstanceId,
        timeout: Duration,
        configured_uid: Option<u32>,
    ) -> Self {
        Self { sockets, instance, timeout, configured_uid }
    }

    /// The instance that logins are verified for.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Verifies a login of `user`. The timeout starts here; the server bounds the time that the
    /// client takes to send its token.
    ///
    /// # Errors
    /// The class of the verifier's denial, or of the failure to get a valid response.
    pub fn verify(
        &self,
        engine: Engine,
        user: DbUser,
        token: Zeroizing<String>,
        client: Option<String>,
        tls: Option<bool>,
    ) -> Result<(), Failure> {
        let deadline = Deadline::after(self.timeout);
        let mut request = VerifyRequest::new(nonce()?, engine, self.instance.clone(), user, token);
        request.client = client;
        request.tls = tls;
        let mut unavailable = Failure::new(Class::Configuration, "no socket is configured");
        for socket in &self.sockets {
            let result = Connection::open(socket, TrustedUsers::new(self.configured_uid), deadline)
                .and_then(|mut connection| round_trip(&mut connection, &request));
            match result {
                // Another verifier over the same store gives the same response.
                Err(failure) if failure.class == Class::Unavailable => unavailable = failure,
                verified => return verified,
            }
        }
        Err(unavailable)
    }
}

fn nonce() -> Result<Nonce, Failure> {
    let mut bytes = [0; 16];
    // Up to 256 bytes are returned completely or not at all: getrandom(2).
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(16) => Ok(Nonce(bytes)),
        Ok(_) => {
            Err(Failure::new(Class::Internal, "cannot read 16 random bytes: too few returned"))
        }
        Err(error) => {
            Err(Failure::new(Class::Internal, format!("cannot read 16 random bytes: {error}")))
        }
    }
}
