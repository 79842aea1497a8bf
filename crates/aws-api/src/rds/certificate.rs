//! The CA that signs the servers' certificates: clients verify servers by it, as by `rds-ca-rsa2048-g1` on AWS.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::request::{AccountRegion, Facts, allow, filters, page};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// What the API calls it.
pub(super) const NAME: &str = "countersign-ca";

/// What is said of the CA's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// SHA-1 of the certificate, in hexadecimal.
    pub(super) thumbprint: String,
    /// RFC 3339.
    pub(super) from: String,
    /// RFC 3339.
    pub(super) until: String,
}

impl Certificate {
    /// Reads the first certificate of a PEM file; none where there is none.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
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

/// One element of DER: its tag, what is in it, and what comes behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (size.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inside, behind) = rest.split_at_checked(length)?;
    Some((*tag, inside, behind))
}

/// The validity of a certificate. Source: RFC 5280, section 4.1.
fn validity(der: &[u8]) -> Option<(String, String)> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // The version is [0], and may be absent.
    if let Some((0xa0, _, behind)) = element(fields) {
        fields = behind;
    }
    // Serial number, signature algorithm and issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (kind, from, rest) = element(validity)?;
    let from = time(kind, from)?;
    let (kind, until, _) = element(rest)?;
    Some((from, time(kind, until)?))
}

/// A `UTCTime` or `GeneralizedTime` as RFC 3339. Source: RFC 5280, section 4.1.2.5.
fn time(kind: u8, bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let whole = match kind {
        0x17 if text.get(..2)? < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    if whole.len() != 14 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    Some(format!(
        "{}-{}-{}T{}:{}:{}.000Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    ))
}

/// Refuses another CA than the one that there is.
pub(super) fn check(call: &RequestContext<'_>) -> Result<(), ApiError> {
    match call.parameters.text("CACertificateIdentifier") {
        Some(name) if name != NAME || call.api.jobs.certificate().is_none() => Err(not_found(name)),
        _ => Ok(()),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(
        "CertificateNotFound",
        404,
        &format!("Certificate {name} not found: this authority's servers have {NAME}, if any."),
    )
}

/// `DescribeCertificates`
pub(super) fn describe(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    allow(call, "DescribeCertificates", "*", &Facts::default())?;
    filters(call, &[])?;
    if let Some(name) = call.parameters.text("CertificateIdentifier")
        && (name != NAME || call.api.jobs.certificate().is_none())
    {
        return Err(not_found(name));
    }
    let place = AccountRegion::of(call)?;
    let all = call.api.jobs.certificate().map(|certificate| (NAME.to_owned(), certificate));
    let (page, marker) = page(call, all.into_iter().collect())?;
    let mut xml = Xml::new();
    if !page.is_empty() {
        xml.leaf("DefaultCertificateForNewLaunches", NAME);
    }
    xml.list("Certificates", "Certificate", page, |xml, certificate| {
        xml.leaf("CertificateIdentifier", NAME)
            .leaf("CertificateType", "CA")
            .leaf("Thumbprint", &certificate.thumbprint);
        xml.leaf("ValidFrom", &certificate.from).leaf("ValidTill", &certificate.until);
        xml.leaf(
            "CertificateArn",
            format!("arn:{}:rds:{}::cert:{NAME}", place.partition, place.region),
        )
        .leaf("CustomerOverride", "false");
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}
