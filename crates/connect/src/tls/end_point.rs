//! `tls-server-end-point`, to which a login by SCRAM is bound: RFC 5929, section 4.1.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// DER's tags. Source: X.690, section 8.
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The first field of RSASSA-PSS's parameters, explicitly tagged. Source: RFC 4055, section 3.1.
const PSS_HASH: u8 = 0xa0;

/// How a certificate may be signed, by the object identifier's DER, and the hash that the channel is bound with: that of the
/// signature, SHA-256 in place of MD5 and SHA-1. Sources: RFC 8017, appendix C; RFC 5758, section 3; RFC 3279, section 2.2.
const SIGNATURES: [(&[u8], &Algorithm); 10] = [
    // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", &SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", &SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", &SHA256),
    // sha256WithRSAEncryption, sha384WithRSAEncryption, sha512WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", &SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", &SHA384),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", &SHA512),
    // ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", &SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", &SHA384),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", &SHA512),
    // dsa-with-sha256
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x02", &SHA256),
];

/// `id-RSASSA-PSS`: the hash is among the parameters.
const PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

/// `id-sha256`, `id-sha384`, `id-sha512`. Source: RFC 4055, section 2.1.
const HASHES: [(&[u8], &Algorithm); 3] = [
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", &SHA256),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", &SHA384),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", &SHA512),
];

/// The hash of a certificate that a channel is bound with. `None` where the RFC says none: for a signature without one single
/// hash, like Ed25519's, and for what is not a certificate.
#[must_use]
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue }: RFC 5280, section 4.1.
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, fields) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(fields, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    let hash =
        if identifier == PSS { pss_hash(parameters)? } else { find(&SIGNATURES, identifier)? };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (fields, _) = element(parameters, SEQUENCE)?;
    // Without it, it is SHA-1.
    let Some((field, _)) = element(fields, PSS_HASH) else {
        return Some(&SHA256);
    };
    let (algorithm, _) = element(field, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    find(&HASHES, identifier)
}

fn find(table: &[(&[u8], &'static Algorithm)], identifier: &[u8]) -> Option<&'static Algorithm> {
    table.iter().find(|(known, _)| *known == identifier).map(|(_, hash)| *hash)
}

/// What an element of this tag holds, and what comes after it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    // A length of up to 127 is its own byte; of a longer one, the byte counts those that follow.
    let (length, rest) = match first.checked_sub(0x80) {
        None => (usize::from(first), rest),
        Some(count @ 1..=4) => {
            let (digits, rest) = rest.split_at_checked(usize::from(count))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        Some(_) => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests;
