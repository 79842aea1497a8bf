//! Certificate of the CA that signs the servers' certificates.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::time::ASN1Time;

/// Name of the CA certificate in the API.
pub(crate) const NAME: &str = "countersign-ca";

/// RFC 3339 with milliseconds, as AWS formats it.
const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000Z");

/// Attributes of the CA's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// SHA-1 of the certificate in hexadecimal.
    pub(crate) thumbprint: String,
    /// Start of the validity (RFC 3339).
    pub(crate) from: String,
    /// End of the validity (RFC 3339).
    pub(crate) until: String,
}

impl Certificate {
    /// Reads the first certificate of a PEM file; `None` if there is none.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let text: String = body.chars().filter(|character| !character.is_whitespace()).collect();
        let der = BASE64_STANDARD.decode(text).ok()?;
        let (from, until) = validity(&der)?;
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &der);
        let thumbprint = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { thumbprint, from, until })
    }
}

/// Returns the validity of a certificate (RFC 5280, section 4.1) as RFC 3339 times.
fn validity(der: &[u8]) -> Option<(String, String)> {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (_, certificate) = parser.parse(der).ok()?;
    let rfc3339 = |time: &ASN1Time| time.to_datetime().format(FORMAT).ok();
    let validity = certificate.validity();
    Some((rfc3339(&validity.not_before)?, rfc3339(&validity.not_after)?))
}
