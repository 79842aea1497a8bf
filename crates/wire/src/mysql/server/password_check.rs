//! Whether a client's proof is enough.

use crate::mysql::auth_plugins::{CACHING_SHA2, CLEAR, NATIVE};

use super::AuthMethod;

/// What proofs are held against.
#[derive(Debug)]
pub(super) struct AuthChecker {
    pub(super) ask: AuthMethod,
    /// The plugin whose nonce the client has, where it has been told one.
    pub(super) announced: Option<&'static str>,
    /// What a client is asked for that names a plugin of no use.
    pub(super) fallback: &'static str,
    pub(super) tls: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Enough. Where `fast`, the client waits for `fast_auth_success`.
    Accept {
        fast: bool,
    },
    /// Another proof is to be asked for.
    AuthSwitch(&'static str),
    Reject,
}

/// What `caching_sha2_password` scrambles to, in bytes. Shorter is no password.
const SCRAMBLED: usize = 32;

impl AuthChecker {
    /// A proof that came unasked, along with the name.
    pub(super) fn first(
        &self,
        plugin: &str,
        proof: &[u8],
        nonce: &[u8],
        may_switch: bool,
    ) -> Verdict {
        let other = match known(plugin) {
            // Its secret is no use as it is.
            Some(CLEAR) | None => self.fallback,
            Some(scrambling) => scrambling,
        };
        let verdict = match known(plugin) {
            // MySQL's library sends nothing where another plugin was announced, and waits to be asked.
            _ if may_switch && proof.is_empty() && self.announced != Some(plugin) => {
                return Verdict::AuthSwitch(other);
            }
            None if may_switch => return Verdict::AuthSwitch(other),
            Some(plugin) => self.last(plugin, proof, nonce),
            None => Verdict::Reject,
        };
        match verdict {
            // It may have been made with another nonce, or in a way that can't be judged.
            Verdict::Reject
                if may_switch && (self.announced != Some(plugin) || other != plugin) =>
            {
                Verdict::AuthSwitch(other)
            }
            verdict => verdict,
        }
    }

    /// A proof that was asked for.
    pub(super) fn last(&self, plugin: &str, proof: &[u8], nonce: &[u8]) -> Verdict {
        let enough = match (&self.ask, plugin) {
            (AuthMethod::Trust, _) => true,
            (AuthMethod::Password(password), NATIVE) => password.proves_native(proof, nonce),
            (AuthMethod::Password(password), CACHING_SHA2) => password.proves_sha256(proof, nonce),
            (AuthMethod::Password(password), CLEAR) => {
                self.tls && password.is(proof.strip_suffix(&[0]).unwrap_or(proof))
            }
            (AuthMethod::Password(_), _) => false,
        };
        if enough {
            Verdict::Accept { fast: plugin == CACHING_SHA2 && proof.len() == SCRAMBLED }
        } else {
            Verdict::Reject
        }
    }
}

/// A plugin that a proof can be judged by.
fn known(plugin: &str) -> Option<&'static str> {
    [NATIVE, CACHING_SHA2, CLEAR].into_iter().find(|known| *known == plugin)
}
