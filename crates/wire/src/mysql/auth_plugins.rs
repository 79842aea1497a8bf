//! Authentication plugins: their names, and their functions of password and nonce.

use std::fmt;

use countersign_core::credentials::Secret;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT as BASE;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// SHA-1 plugin, since MySQL 4.1: MariaDB's default, removed from MySQL 9.
pub const NATIVE: &str = "mysql_native_password";

/// SHA-256 plugin, MySQL's default since 8.0.
pub const CACHING_SHA2: &str = "caching_sha2_password";

/// SHA-256 plugin without a cache. Within TLS it sends the password in clear text.
pub const SHA256: &str = "sha256_password";

/// Clear-text plugin.
pub const CLEAR: &str = "mysql_clear_password";

/// MariaDB's signature plugin.
pub const ED25519: &str = "client_ed25519";

/// Insecure plugin from before MySQL 4.1.
pub const OLD: &str = "mysql_old_password";

/// `fast_auth_success` of `caching_sha2_password`: the server accepted the scramble.
pub(super) const FAST_AUTH_SUCCESS: u8 = 3;

/// `perform_full_authentication` of `caching_sha2_password`: the server requires the password in
/// clear text.
pub(super) const FULL_AUTHENTICATION: u8 = 4;

/// Length of a nonce, in bytes (`SCRAMBLE_LENGTH`). A terminating zero follows it.
pub(super) const NONCE_LEN: usize = 20;

/// Length of MariaDB's nonce for `client_ed25519`, in bytes (`NONCE_BYTES` in its `auth_ed25519`).
pub(super) const ED25519_NONCE: usize = 32;

/// Hashes of a password, which verify its proofs.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MysqlPassword {
    /// SHA1(SHA1(password))
    native: [u8; 20],
    /// SHA256(SHA256(password))
    sha256: [u8; 32],
}

impl MysqlPassword {
    /// Hashes a password.
    #[must_use]
    pub fn new(password: &Secret) -> Self {
        let password = password.expose().as_bytes();
        Self { native: twice::<Sha1, 20>(password), sha256: twice::<Sha256, 32>(password) }
    }

    /// Verifies a proof by `mysql_native_password`.
    pub(super) fn verify_native(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 20]>::try_from(proof) else {
            return false;
        };
        let once = Zeroizing::new(xor(
            proof,
            Sha1::new().chain_update(nonce).chain_update(self.native).finalize().into(),
        ));
        <[u8; 20]>::from(Sha1::digest(*once)).ct_eq(&self.native).into()
    }

    /// Verifies a proof by `caching_sha2_password`.
    pub(super) fn verify_caching_sha2(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 32]>::try_from(proof) else {
            return false;
        };
        let once = Zeroizing::new(xor(
            proof,
            Sha256::new().chain_update(self.sha256).chain_update(nonce).finalize().into(),
        ));
        <[u8; 32]>::from(Sha256::digest(*once)).ct_eq(&self.sha256).into()
    }

    /// Verifies a password in clear text.
    pub(super) fn verify_clear_text(&self, password: &[u8]) -> bool {
        twice::<Sha256, 32>(password).ct_eq(&self.sha256).into()
    }
}

impl fmt::Debug for MysqlPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MysqlPassword([redacted])")
    }
}

fn twice<D: Digest, const N: usize>(password: &[u8]) -> [u8; N]
where
    [u8; N]: From<sha1::digest::Output<D>>,
{
    let once = Zeroizing::new(<[u8; N]>::from(D::digest(password)));
    D::digest(*once).into()
}

fn xor<const N: usize>(mut one: [u8; N], other: [u8; N]) -> [u8; N] {
    one.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
    one
}

/// Returns the proof of `mysql_native_password`: SHA1(password) XOR SHA1(nonce,
/// SHA1(SHA1(password))).
pub(super) fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Zeroizing::new(<[u8; 20]>::from(Sha1::digest(password)));
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(*once)).finalize();
    xor(*once, mask.into()).to_vec()
}

/// Returns the proof of `caching_sha2_password`: SHA256(password) XOR
/// SHA256(SHA256(SHA256(password)), nonce).
pub(super) fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
    let mask = Sha256::new().chain_update(Sha256::digest(*once)).chain_update(nonce).finalize();
    xor(*once, mask.into()).to_vec()
}

/// Returns the proof of `client_ed25519`: a signature over the nonce (RFC 8032, section 5.1.6). The
/// secret scalar and the prefix are a hash of the password, which has any length, instead of a key
/// of 32 bytes. So the `sign` function of Ed25519 libraries cannot compute it.
pub(super) fn ed25519(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let expanded = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(password)));
    let (lower, prefix) = expanded.split_at(32);
    let mut scalar = Zeroizing::new([0; 32]);
    scalar.copy_from_slice(lower);
    let secret = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*scalar)));
    let public = (BASE * *secret).compress();
    let round = Zeroizing::new(wide(Sha512::new().chain_update(prefix).chain_update(nonce)));
    let commitment = (BASE * *round).compress();
    let challenge = wide(
        Sha512::new()
            .chain_update(commitment.as_bytes())
            .chain_update(public.as_bytes())
            .chain_update(nonce),
    );
    let response = challenge * *secret + *round;
    [*commitment.as_bytes(), response.to_bytes()].concat()
}

fn wide(hash: Sha512) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// Returns a random nonce. Like MySQL's it is ASCII without zeros, which terminate strings, and
/// without `$`, which separates the fields of a stored password.
pub(super) fn nonce() -> Result<Vec<u8>, getrandom::Error> {
    let mut bytes = [0; NONCE_LEN];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| byte & 0x7f)
        .map(|byte| if matches!(byte, 0 | b'$') { byte + 1 } else { byte })
        .collect())
}

#[cfg(test)]
mod tests;
