//! The side that knows the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use subtle::ConstantTimeEq;

use super::{BOUND, HASH, Keys, MAX_ITERATIONS, mac, nonce, take};

/// What of the channel the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) enum Binding {
    /// We don't bind.
    None,
    /// We could, but the server doesn't offer it.
    NotOffered,
    /// The hash of the server's certificate.
    EndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => BOUND,
        }
    }

    /// The attribute `c`.
    fn repeated(&self) -> String {
        let data = if let Self::EndPoint(hash) = self { hash.as_slice() } else { &[] };
        STANDARD.encode([self.header().as_bytes(), data].concat())
    }
}

/// Has begun.
#[derive(Debug)]
pub(in crate::pg) struct ClientFirst {
    binding: Binding,
    nonce: String,
    bare: String,
}

impl ClientFirst {
    /// With a nonce of its own, and no user: PostgreSQL has the name from the `StartupMessage`.
    pub(in crate::pg) fn new(binding: Binding) -> Result<Self, getrandom::Error> {
        Ok(Self::with_nonce(binding, "", nonce()?))
    }

    pub(super) fn with_nonce(binding: Binding, user: &str, nonce: String) -> Self {
        let bare = format!("n={user},r={nonce}");
        Self { binding, nonce, bare }
    }

    /// `client-first-message`.
    pub(in crate::pg) fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare)
    }

    /// Reads `server-first-message`, and gives `client-final-message`.
    pub(in crate::pg) fn prove(
        self,
        password: &Secret,
        first: &[u8],
    ) -> Result<(ClientFinal, String), &'static str> {
        let first = str::from_utf8(first).map_err(|_| "its first SCRAM message is not UTF-8")?;
        let (nonce, rest) = take(first, 'r').ok_or("its first SCRAM message has no nonce")?;
        let fresh = nonce.strip_prefix(self.nonce.as_str()).is_some_and(|own| !own.is_empty());
        if !fresh {
            return Err("its first SCRAM message does not answer ours: the nonce is another");
        }
        let (salt, rest) = take(rest, 's').ok_or("its first SCRAM message has no salt")?;
        let salt = STANDARD.decode(salt).map_err(|_| "its SCRAM salt is not base64")?;
        let (iterations, _) =
            take(rest, 'i').ok_or("its first SCRAM message has no count of iterations")?;
        let iterations =
            iterations.parse().ok().filter(|count| (1..=MAX_ITERATIONS).contains(count));
        let iterations =
            iterations.ok_or("it asks for no or for more than 1,000,000 iterations of SCRAM")?;
        let keys = Keys::new(password, &salt, iterations);
        let without_proof = format!("c={},r={nonce}", self.binding.repeated());
        let said = format!("{},{first},{without_proof}", self.bare);
        let mut proof = mac(&keys.stored(), said.as_bytes());
        proof.iter_mut().zip(keys.client.iter()).for_each(|(byte, key)| *byte ^= key);
        let proven = ClientFinal { signature: mac(&*keys.server, said.as_bytes()) };
        Ok((proven, format!("{without_proof},p={}", STANDARD.encode(proof))))
    }
}

/// Has proved that it knows the password, and waits for the server to do the same.
#[derive(Debug)]
pub(in crate::pg) struct ClientFinal {
    signature: [u8; HASH],
}

impl ClientFinal {
    /// Reads `server-final-message`.
    pub(in crate::pg) fn verify(self, last: &[u8]) -> Result<(), &'static str> {
        let last = str::from_utf8(last).map_err(|_| "its last SCRAM message is not UTF-8")?;
        let (signature, _) = take(last, 'v').ok_or("its last SCRAM message has no signature")?;
        let signature =
            STANDARD.decode(signature).map_err(|_| "its SCRAM signature is not base64")?;
        let known = signature.as_slice().ct_eq(&self.signature);
        if bool::from(known) {
            Ok(())
        } else {
            Err("it does not know the password: its SCRAM signature is wrong")
        }
    }
}
