//! Channel binding of SCRAM: `tls-server-end-point` (RFC 5929, section 4.1).

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

/// Returns the hash of a DER certificate that a channel is bound to. `None` if the RFC defines
/// none, as for a signature without a single hash (Ed25519), and if `certificate` is not a
/// certificate.
#[must_use]
pub fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (_, parsed) = parser.parse(certificate).ok()?;
    let hash = hash(&parsed.signature_algorithm)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// Returns the hash of a signature algorithm, and SHA-256 in place of MD5 and SHA-1. Sources: RFC
/// 8017, appendix C; RFC 5758, section 3; RFC 3279, section 2.2; RFC 4055, section 2.1.
fn hash(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    match signature.algorithm.to_id_string().as_str() {
        // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Some(&SHA256),
        // sha256WithRSAEncryption, ecdsa-with-SHA256, dsa-with-sha256
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.3.2" => Some(&SHA256),
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        // id-RSASSA-PSS: the hash is a parameter, by default SHA-1.
        "1.2.840.113549.1.1.10" => {
            let parameters = RsaSsaPssParams::try_from(signature.parameters()?).ok()?;
            match parameters.hash_algorithm() {
                None => Some(&SHA256),
                Some(hash) => match hash.algorithm.to_id_string().as_str() {
                    // id-sha256, id-sha384, id-sha512
                    "2.16.840.1.101.3.4.2.1" => Some(&SHA256),
                    "2.16.840.1.101.3.4.2.2" => Some(&SHA384),
                    "2.16.840.1.101.3.4.2.3" => Some(&SHA512),
                    _ => None,
                },
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
