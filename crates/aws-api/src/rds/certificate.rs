//! Certificate authority of the servers: clients verify servers with it, as with
//! `rds-ca-rsa2048-g1` on AWS.

use super::ca_certificate::NAME;
use super::request::{AccountRegion, ConditionKeys, authorize, filters, page};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Returns an error for another CA than the existing one.
pub(crate) fn check(ctx: &RequestContext<'_>) -> Result<(), ApiError> {
    match ctx.parameters.text("CACertificateIdentifier") {
        Some(name) if name != NAME || ctx.api.jobs.certificate().is_none() => Err(not_found(name)),
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
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    authorize(ctx, "DescribeCertificates", "*", &ConditionKeys::default())?;
    filters(ctx, &[])?;
    if let Some(name) = ctx.parameters.text("CertificateIdentifier")
        && (name != NAME || ctx.api.jobs.certificate().is_none())
    {
        return Err(not_found(name));
    }
    let scope = AccountRegion::of(ctx)?;
    let all = ctx.api.jobs.certificate().map(|certificate| (NAME.to_owned(), certificate));
    let (page, marker) = page(ctx, all.into_iter().collect())?;
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
            format!("arn:{}:rds:{}::cert:{NAME}", scope.partition, scope.region),
        )
        .leaf("CustomerOverride", "false");
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}
