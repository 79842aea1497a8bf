//! Verification of proofs ([`countersign_core::proof`]) by a request to STS.
//!
//! The identity comes only from the response of a trusted STS to a request built here. The body of
//! a 403 is not read: STS returns it for a wrong signature, an unknown key and an expired session
//! alike.

use std::time::{Duration, SystemTime};

use countersign_core::arn::Arn;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::AccountId;
use countersign_core::proof::{Binding, StsRequest, TrustedSts, UnverifiedProof};
use countersign_core::region::Partition;
use hyper::header::HeaderName;
use serde_json::{Map, Value};

use crate::oidc::fetch::{FetchError, FetchLimits, Fetcher};
use crate::oidc::object;

/// Limits of the request, for which a login waits.
const LIMITS: FetchLimits = FetchLimits { timeout: Duration::from_secs(3), max_size: 64 * 1024 };

/// Maximum length of a unique id: those of AWS have 21 characters, and a role session appends its
/// name of at most 64.
const MAX_USER_ID: usize = 128;

/// Identity that STS reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// ARN of the user, role session, federated user, or root user.
    pub arn: Arn,
    /// Account, 12 digits.
    pub account: AccountId,
    /// `AIDA…`, `AROA…:SESSION`, `ACCOUNT:NAME` of a federated user, or the account id of the root
    /// user. Records of an identity are found by account and unique id, because a later identity
    /// may have the same name (CVE-2025-11621).
    pub user_id: String,
}

/// Verifies proofs with STS.
#[derive(Debug)]
pub struct StsVerifier {
    fetcher: Fetcher,
    sts: TrustedSts,
}

impl StsVerifier {
    /// Makes a verifier that trusts `sts` only.
    #[must_use]
    pub const fn new(fetcher: Fetcher, sts: TrustedSts) -> Self {
        Self { fetcher, sts }
    }

    /// Verifies the proof `text` for the database and user in `binding`, which the caller takes
    /// from the login and not from the client's proof.
    ///
    /// # Errors
    /// Those of [`UnverifiedProof::parse`] and [`UnverifiedProof::request`];
    /// [`Class::SignatureMismatch`] if STS rejects the proof; [`Class::Throttled`],
    /// [`Class::Unavailable`], [`Class::TimedOut`] and [`Class::Protocol`] if STS does not respond
    /// as specified.
    pub async fn verify(
        &self,
        text: &str,
        binding: Binding<'_>,
        now: SystemTime,
    ) -> Result<ProvenIdentity, Failure> {
        let request = UnverifiedProof::parse(text)?.request(&self.sts, binding, now)?;
        let headers: Vec<(HeaderName, &str)> = request
            .headers()
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.as_str()))
            .collect();
        let response = self
            .fetcher
            .get(request.url(), &headers, LIMITS)
            .await
            .map_err(|error| failure(&error))?;
        parse_identity(&response, &request).ok_or_else(|| {
            Failure::new(
                Class::Protocol,
                "STS did not respond with a consistent GetCallerIdentityResponse in JSON",
            )
        })
    }
}

fn failure(error: &FetchError) -> Failure {
    match error {
        FetchError::Status(400..=403) => Failure::new(
            Class::SignatureMismatch,
            "STS rejected the proof: it is signed for another database or user or with an unknown \
             key, or its session has expired",
        ),
        FetchError::Status(429) => Failure::new(Class::Throttled, format!("STS: {error}")),
        FetchError::Status(500..) | FetchError::Unreachable(_) | FetchError::Tls(_) => {
            Failure::new(Class::Unavailable, format!("STS: {error}"))
        }
        FetchError::TimedOut(_) => Failure::new(Class::TimedOut, format!("STS: {error}")),
        FetchError::Status(_) | FetchError::Url | FetchError::Body(_) => {
            Failure::new(Class::Protocol, format!("STS: {error}"))
        }
    }
}

/// Parses the response of STS; `None` if it has another form or contradicts itself.
fn parse_identity(response: &[u8], request: &StsRequest) -> Option<ProvenIdentity> {
    let root = object(response)?;
    let response = member(&root, "GetCallerIdentityResponse")?;
    let result = member(response, "GetCallerIdentityResult")?;
    let text = |name: &str| result.get(name).and_then(Value::as_str);
    let account: AccountId = text("Account")?.parse().ok()?;
    let arn: Arn = text("Arn")?.parse().ok()?;
    let user_id = text("UserId").filter(|id| id.len() <= MAX_USER_ID)?;
    let arn_matches = arn.account() == account.as_str()
        && arn.partition().parse::<Partition>() == Ok(request.partition())
        && arn.region().is_empty();
    let consistent = arn_matches && unique_id_matches(user_id, &arn, &account);
    consistent.then(|| ProvenIdentity { user_id: user_id.to_owned(), arn, account })
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    object.get(name)?.as_object()
}

/// Returns true if the unique id has the form that belongs to the kind of ARN.
/// Source: IAM user guide, "IAM identifiers" and "Principal key values".
fn unique_id_matches(user_id: &str, arn: &Arn, account: &AccountId) -> bool {
    let unique = |id: &str, prefix: &str| {
        let tail = id.strip_prefix(prefix);
        tail.is_some_and(|tail| {
            !tail.is_empty()
                && tail.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
    };
    let valid = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let (kind, name) = arn.resource().split_once('/').unwrap_or((arn.resource(), ""));
    match (arn.service(), kind) {
        ("iam", "root") => name.is_empty() && user_id == account.as_str(),
        ("iam", "user") => valid(name) && unique(user_id, "AIDA"),
        ("sts", "federated-user") => {
            valid(name) && user_id.split_once(':') == Some((account.as_str(), name))
        }
        ("sts", "assumed-role") => name.split_once('/').zip(user_id.split_once(':')).is_some_and(
            |((role, session), (id, of))| {
                valid(role)
                    && valid(session)
                    && !session.contains('/')
                    && unique(id, "AROA")
                    && session == of
            },
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
