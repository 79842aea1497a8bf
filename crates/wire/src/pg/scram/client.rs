//! Client side of SCRAM, which knows the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use subtle::ConstantTimeEq;

use super::{BOUND_HEADER, HASH_LEN, Keys, MAX_ITERATIONS, attribute, mac, nonce};

/// Channel binding flag that the client sends (`gs2-cbind-flag`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) enum Binding {
    /// `n`: the client does not bind.
    None,
    /// `y`: the client could bind, but the server does not offer it.
    NotOffered,
    /// `p`: bound to the hash of the server's certificate.
    TlsServerEndPoint(Vec<u8>),
}

impl Binding {
    fn gs2_header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::NotOffered => "y,,",
            Self::TlsServerEndPoint(_) => BOUND_HEADER,
        }
    }

    /// Returns the value of attribute `c`: header and channel binding data, in base64.
    fn cbind_input(&self) -> String {
        let data = if let Self::TlsServerEndPoint(hash) = self { hash.as_slice() } else { &[] };
        STANDARD.encode([self.gs2_header().as_bytes(), data].concat())
    }
}

/// State after `client-first-message`.
#[derive(Debug)]
pub(in crate::pg) struct ClientFirst {
    binding: Binding,
    nonce: String,
    /// `client-first-message-bare`
    bare: String,
}

impl ClientFirst {
    /// Creates a message with a random nonce and no user: PostgreSQL takes the name from the
    /// `StartupMessage`.
    pub(in crate::pg) fn new(binding: Binding) -> Result<Self, getrandom::Error> {
        Ok(Self::with_nonce(binding, "", nonce()?))
    }

    pub(super) fn with_nonce(binding: Binding, user: &str, nonce: String) -> Self {
        let bare = format!("n={user},r={nonce}");
        Self { binding, nonce, bare }
    }

    /// Returns `client-first-message`.
    pub(in crate::pg) fn message(&self) -> String {
        format!("{}{}", self.binding.gs2_header(), self.bare)
    }

    /// Reads `server-first-message` and returns `client-final-message`.
    pub(in crate::pg) fn respond(
        self,
        password: &Secret,
        server_first: &[u8],
    ) -> Result<(ClientFinal, String), &'static str> {
        let server_first =
            str::from_utf8(server_first).map_err(|_| "its first SCRAM message is not UTF-8")?;
        let (nonce, rest) =
            attribute(server_first, 'r').ok_or("its first SCRAM message has no nonce")?;
        let extended = nonce.strip_prefix(self.nonce.as_str()).is_some_and(|own| !own.is_empty());
        if !extended {
            return Err("the nonce in its first SCRAM message does not extend the client's");
        }
        let (salt, rest) = attribute(rest, 's').ok_or("its first SCRAM message has no salt")?;
        let salt = STANDARD.decode(salt).map_err(|_| "its SCRAM salt is not base64")?;
        let (iterations, _) =
            attribute(rest, 'i').ok_or("its first SCRAM message has no number of iterations")?;
        let iterations =
            iterations.parse().ok().filter(|count| (1..=MAX_ITERATIONS).contains(count));
        let iterations =
            iterations.ok_or("its number of SCRAM iterations is not between 1 and 1,000,000")?;
        let keys = Keys::new(password, &salt, iterations);
        let without_proof = format!("c={},r={nonce}", self.binding.cbind_input());
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let mut proof = mac(&keys.stored_key(), auth_message.as_bytes());
        proof.iter_mut().zip(keys.client_key.iter()).for_each(|(byte, key)| *byte ^= key);
        let server_signature = mac(&*keys.server_key, auth_message.as_bytes());
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((ClientFinal { server_signature }, message))
    }
}

/// State after `client-final-message`: the server has to prove that it knows the password.
#[derive(Debug)]
pub(in crate::pg) struct ClientFinal {
    server_signature: [u8; HASH_LEN],
}

impl ClientFinal {
    /// Verifies `server-final-message`.
    pub(in crate::pg) fn verify(self, server_final: &[u8]) -> Result<(), &'static str> {
        let server_final =
            str::from_utf8(server_final).map_err(|_| "its last SCRAM message is not UTF-8")?;
        let (signature, _) =
            attribute(server_final, 'v').ok_or("its last SCRAM message has no signature")?;
        let signature =
            STANDARD.decode(signature).map_err(|_| "its SCRAM signature is not base64")?;
        if bool::from(signature.as_slice().ct_eq(&self.server_signature)) {
            Ok(())
        } else {
            Err("it does not know the password: its SCRAM signature is wrong")
        }
    }
}
