//! What passwords are proved by: plugins' names, and what they make of a password and a nonce.

use std::fmt;

use countersign_core::credentials::Secret;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT as BASE;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::greeting::NONCE;

/// SHA-1, since 4.1. The default of MariaDB, gone from MySQL 9.
pub const NATIVE: &str = "mysql_native_password";

/// SHA-256, the default of MySQL since 8.0.
pub const CACHING_SHA2: &str = "caching_sha2_password";

/// SHA-256 without a cache: within TLS the password as it is.
pub const SHA256: &str = "sha256_password";

/// The password as it is.
pub const CLEAR: &str = "mysql_clear_password";

/// MariaDB's by a signature.
pub const ED25519: &str = "client_ed25519";

/// What was before 4.1: broken.
pub const OLD: &str = "mysql_old_password";

/// `fast_auth_success` of `caching_sha2_password`: the scramble was enough.
pub(super) const FAST: u8 = 3;

/// `perform_full_authentication` of `caching_sha2_password`: the server wants the password itself.
pub(super) const FULL: u8 = 4;

/// Of MariaDB's nonce for `client_ed25519`, in bytes (`NONCE_BYTES` in its `auth_ed25519`).
pub(super) const ED25519_NONCE: usize = 32;

/// A password as its proofs are verified: hashed, so that it isn't kept itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MysqlPassword {
    /// SHA-1 of SHA-1.
    native: [u8; 20],
    /// SHA-256 of SHA-256.
    sha256: [u8; 32],
}

impl MysqlPassword {
    /// Hashes a password.
    #[must_use]
    pub fn new(password: &Secret) -> Self {
        let password = password.expose().as_bytes();
        Self { native: twice::<Sha1, 20>(password), sha256: twice::<Sha256, 32>(password) }
    }

    /// Whether what `mysql_native_password` sent was made from the password and this nonce.
    pub(super) fn proves_native(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 20]>::try_from(proof) else {
            return false;
        };
        let once = Zeroizing::new(xor(
            proof,
            Sha1::new().chain_update(nonce).chain_update(self.native).finalize().into(),
        ));
        <[u8; 20]>::from(Sha1::digest(*once)).ct_eq(&self.native).into()
    }

    /// Whether what `caching_sha2_password` sent was made from the password and this nonce.
    pub(super) fn proves_sha256(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 32]>::try_from(proof) else {
            return false;
        };
        let once = Zeroizing::new(xor(
            proof,
            Sha256::new().chain_update(self.sha256).chain_update(nonce).finalize().into(),
        ));
        <[u8; 32]>::from(Sha256::digest(*once)).ct_eq(&self.sha256).into()
    }

    /// Whether it is this password.
    pub(super) fn is(&self, password: &[u8]) -> bool {
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

/// `mysql_native_password`: SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))).
pub(super) fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Zeroizing::new(<[u8; 20]>::from(Sha1::digest(password)));
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(*once)).finalize();
    xor(*once, mask.into()).to_vec()
}

/// `caching_sha2_password`: SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce).
pub(super) fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
    let mask = Sha256::new().chain_update(Sha256::digest(*once)).chain_update(nonce).finalize();
    xor(*once, mask.into()).to_vec()
}

/// `client_ed25519`: a signature over the nonce (RFC 8032, section 5.1.6), where the password itself is what is hashed to the
/// secret scalar and prefix, of whatever length it is: no key of 32 bytes stands for it, and so no library's `sign` does it.
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
    let answer = challenge * *secret + *round;
    [*commitment.as_bytes(), answer.to_bytes()].concat()
}

fn wide(hash: Sha512) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// A nonce that nobody can guess: as MySQL's own, of ASCII without zeros, which end a text, and without `$`, which parts fields
/// of a stored password.
pub(super) fn nonce() -> Result<Vec<u8>, getrandom::Error> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| byte & 0x7f)
        .map(|byte| if matches!(byte, 0 | b'$') { byte + 1 } else { byte })
        .collect())
}

#[cfg(test)]
mod tests;
