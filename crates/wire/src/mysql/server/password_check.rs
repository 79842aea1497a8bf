//! Verification of a client's proof.

use std::sync::Arc;

use crate::mysql::MysqlPassword;
use crate::mysql::auth_plugins::{CACHING_SHA2, CLEAR, NATIVE};

/// Authentication that clients must pass.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// None: access to the socket is enough.
    Trust,
    /// A password, verified by `caching_sha2_password` or `mysql_native_password`, or in clear text
    /// within TLS.
    Password(Arc<MysqlPassword>),
}

/// Verifier of a client's proof.
#[derive(Debug)]
pub(super) struct AuthChecker {
    pub(super) auth: AuthMethod,
    /// Plugin whose nonce the client has, if one was announced.
    pub(super) announced: Option<&'static str>,
    /// Plugin to switch to if the client's plugin is not supported.
    pub(super) fallback: &'static str,
    pub(super) tls: bool,
}

/// Result of a verification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The proof is valid. If `fast`, the client expects `fast_auth_success`.
    Accept {
        fast: bool,
    },
    /// A proof by this plugin is required.
    AuthSwitch(&'static str),
    Reject,
}

/// Length of a `caching_sha2_password` scramble, in bytes. A shorter proof means an empty password.
const SCRAMBLE_LEN: usize = 32;

impl AuthChecker {
    /// Verifies the proof that the client sent with its name.
    pub(super) fn check_initial(
        &self,
        plugin: &str,
        proof: &[u8],
        nonce: &[u8],
        may_switch: bool,
    ) -> Verdict {
        let supported = supported(plugin);
        let switch_to = match supported {
            // A clear-text password that does not match cannot be requested again.
            Some(CLEAR) | None => self.fallback,
            Some(scrambling) => scrambling,
        };
        let has_nonce = self.announced == Some(plugin);
        let verdict = match supported {
            // If another plugin was announced, MySQL's library sends nothing and expects an auth
            // switch request.
            _ if may_switch && proof.is_empty() && !has_nonce => Verdict::AuthSwitch(switch_to),
            None if may_switch => Verdict::AuthSwitch(switch_to),
            Some(plugin) => self.check(plugin, proof, nonce),
            None => Verdict::Reject,
        };
        match verdict {
            // The client may have used another nonce, or a plugin that cannot be verified here.
            Verdict::Reject if may_switch && (!has_nonce || switch_to != plugin) => {
                Verdict::AuthSwitch(switch_to)
            }
            verdict => verdict,
        }
    }

    /// Verifies a proof after an auth switch request.
    pub(super) fn check(&self, plugin: &str, proof: &[u8], nonce: &[u8]) -> Verdict {
        let is_valid = match (&self.auth, plugin) {
            (AuthMethod::Trust, _) => true,
            (AuthMethod::Password(password), NATIVE) => password.verify_native(proof, nonce),
            (AuthMethod::Password(password), CACHING_SHA2) => {
                password.verify_caching_sha2(proof, nonce)
            }
            (AuthMethod::Password(password), CLEAR) => {
                self.tls && password.verify_clear_text(proof.strip_suffix(&[0]).unwrap_or(proof))
            }
            (AuthMethod::Password(_), _) => false,
        };
        if is_valid {
            Verdict::Accept { fast: plugin == CACHING_SHA2 && proof.len() == SCRAMBLE_LEN }
        } else {
            Verdict::Reject
        }
    }
}

/// Returns the plugin if its proofs can be verified here.
fn supported(plugin: &str) -> Option<&'static str> {
    [NATIVE, CACHING_SHA2, CLEAR].into_iter().find(|known| *known == plugin)
}
