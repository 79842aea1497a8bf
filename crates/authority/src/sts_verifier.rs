//! Asking STS who made a proof ([`countersign_core::proof`]).
//!
//! Whatever is believed comes out of the answer of an STS that is trusted, to a request that was built here. A 403 is not
//! taken apart: STS gives it for a wrong signature, an unknown key and an expired session alike.

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

/// A login waits for it.
const BOUNDS: FetchLimits = FetchLimits { timeout: Duration::from_secs(3), max_size: 64 * 1024 };

/// The longest unique id that is believed: AWS's are 21 characters, a role's session adds its name of at most 64.
const MAX_USER_ID: usize = 128;

/// An identity that STS vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// The user, the session of a role, the federated user, or the account's root.
    pub arn: Arn,
    /// The account that it is of.
    pub account: AccountId,
    /// `AIDA…`, `AROA…:SESSION`, `ACCOUNT:NAME` of a federated user, the account's digits for its root. Whatever is kept of
    /// an identity is kept under account and unique id: a name may be given to somebody else (CVE-2025-11621).
    pub user_id: String,
}

/// Verifies proofs with the help of STS.
#[derive(Debug)]
pub struct StsVerifier {
    fetcher: Fetcher,
    sts: TrustedSts,
}

impl StsVerifier {
    /// Believes `sts` alone.
    #[must_use]
    pub const fn new(fetcher: Fetcher, sts: TrustedSts) -> Self {
        Self { fetcher, sts }
    }

    /// Who made the proof `text`, for the database and the user of this login: `binding` is what is known here, not what
    /// the client says.
    ///
    /// # Errors
    /// What [`UnverifiedProof::parse`] and [`UnverifiedProof::request`] say; [`Class::SignatureMismatch`] where STS refuses;
    /// [`Class::Throttled`], [`Class::Unavailable`], [`Class::TimedOut`] and [`Class::Protocol`] where it does not answer as
    /// it should.
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
        let answer = self
            .fetcher
            .get(request.url(), &headers, BOUNDS)
            .await
            .map_err(|error| refused(&error))?;
        identity(&answer, &request).ok_or_else(|| {
            Failure::new(Class::Protocol, "the answer of STS is not a GetCallerIdentityResponse in JSON whose parts fit together")
        })
    }
}

fn refused(error: &FetchError) -> Failure {
    match error {
        FetchError::Status(400..=403) => Failure::new(
            Class::SignatureMismatch,
            "STS does not vouch for it: it was signed for another database or user, with an unknown key, or its session has ended",
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

/// Who STS says it is; `None` where it says so in another form, or contradicts itself.
fn identity(answer: &[u8], request: &StsRequest) -> Option<ProvenIdentity> {
    let answer = object(answer)?;
    let response = member(&answer, "GetCallerIdentityResponse")?;
    let result = member(response, "GetCallerIdentityResult")?;
    let text = |name: &str| result.get(name).and_then(Value::as_str);
    let account: AccountId = text("Account")?.parse().ok()?;
    let arn: Arn = text("Arn")?.parse().ok()?;
    let user_id = text("UserId").filter(|id| id.len() <= MAX_USER_ID)?;
    let here = arn.account() == account.as_str()
        && arn.partition().parse::<Partition>() == Ok(request.partition());
    let fits = here && arn.region().is_empty() && is_of(user_id, &arn, &account);
    fits.then(|| ProvenIdentity { user_id: user_id.to_owned(), arn, account })
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    object.get(name)?.as_object()
}

/// Whether the unique id has the form that it has for such an identity.
/// Source: IAM user guide, "IAM identifiers" and "Principal key values".
fn is_of(user_id: &str, arn: &Arn, account: &AccountId) -> bool {
    let unique = |id: &str, prefix: &str| {
        let tail = id.strip_prefix(prefix);
        tail.is_some_and(|tail| {
            !tail.is_empty()
                && tail.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
    };
    let named = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let (kind, name) = arn.resource().split_once('/').unwrap_or((arn.resource(), ""));
    match (arn.service(), kind) {
        ("iam", "root") => name.is_empty() && user_id == account.as_str(),
        ("iam", "user") => named(name) && unique(user_id, "AIDA"),
        ("sts", "federated-user") => {
            named(name) && user_id.split_once(':') == Some((account.as_str(), name))
        }
        ("sts", "assumed-role") => name.split_once('/').zip(user_id.split_once(':')).is_some_and(
            |((role, session), (id, of))| {
                named(role)
                    && named(session)
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
