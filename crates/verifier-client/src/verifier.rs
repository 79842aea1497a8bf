//! One question about one login.

use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine, InstanceId};
use countersign_core::verifier_protocol::{Nonce, VerifyRequest, round_trip};
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::connection::{Connection, Deadline, Trusted};

/// The verifier that the settings mean. Nothing of it is open between two questions.
#[derive(Debug)]
pub struct Verifier {
    sockets: Vec<PathBuf>,
    instance: InstanceId,
    timeout: Duration,
    named: Option<u32>,
}

impl Verifier {
    pub(crate) const fn new(
        sockets: Vec<PathBuf>,
        instance: InstanceId,
        timeout: Duration,
        named: Option<u32>,
    ) -> Self {
        Self { sockets, instance, timeout, named }
    }

    /// The instance that it is asked about.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// May `user` log in? The timeout starts here: how long the client took to send its token is the server's to bound.
    ///
    /// # Errors
    /// The class that the verifier denies with, or why it gave no answer that counts.
    pub fn verify(
        &self,
        engine: Engine,
        user: DbUser,
        token: Zeroizing<String>,
        client: Option<String>,
        tls: Option<bool>,
    ) -> Result<(), Failure> {
        let deadline = Deadline::after(self.timeout);
        let mut question = VerifyRequest::new(nonce()?, engine, self.instance.clone(), user, token);
        question.client = client;
        question.tls = tls;
        let mut unanswered = Failure::new(Class::Configuration, "no socket is set");
        for socket in &self.sockets {
            let asked = Connection::open(socket, Trusted::new(self.named), deadline)
                .and_then(|mut connection| round_trip(&mut connection, &question));
            match asked {
                // It is not there, or was killed while it was asked: another that shares its store says the same.
                Err(failure) if failure.class == Class::Unavailable => unanswered = failure,
                answered => return answered,
            }
        }
        Err(unanswered)
    }
}

fn nonce() -> Result<Nonce, Failure> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all: getrandom(2).
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(16) => Ok(Nonce(bytes)),
        Ok(_) => Err(Failure::new(Class::Internal, "the system gave too few random bytes")),
        Err(error) => {
            Err(Failure::new(Class::Internal, format!("the system gave no random bytes: {error}")))
        }
    }
}
