//! Parser of proofs, and construction of the request to STS.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::endpoint::TrustedSts;
use super::format::{ACTION, AUDIENCE_HEADER, Binding, MAX_PROOF, SERVICE, USER_HEADER, VERSION};
use crate::failure::{Class, Failure, quoted};
use crate::name::AccessKeyId;
use crate::region::Partition;
use crate::sigv4::{ALGORITHM, Scope, Signature, encode};
use crate::timestamp::{AmzDate, rfc3339};
use crate::token::{CLOCK_SKEW, LIFETIME};

/// All parameters of a proof, sorted as they are signed.
const PARAMETERS: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    TOKEN,
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// The only optional parameter.
const TOKEN: &str = "X-Amz-Security-Token";

/// The claims of a proof. Only their form has been checked.
pub struct UnverifiedProof<'a> {
    scheme: &'a str,
    authority: &'a str,
    parameters: Vec<(&'static str, Zeroizing<String>)>,
    access_key_id: AccessKeyId,
    region: String,
    date: AmzDate,
    expires: Duration,
    names_user: bool,
}

impl fmt::Debug for UnverifiedProof<'_> {
    /// Omits the signature and the session token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedProof")
            .field("host", &self.authority)
            .field("access_key_id", &self.access_key_id)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

fn malformed(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Malformed, detail)
}

/// Parameters of a query.
struct ProofParams<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> ProofParams<'a> {
    /// Parses the known parameters and rejects all others. Names that differ only in case are
    /// duplicates (CVE-2022-2385).
    fn read(query: &'a str) -> Result<Self, Failure> {
        let mut params: Vec<(&'static str, Cow<'a, str>)> = Vec::with_capacity(PARAMETERS.len());
        for pair in query.split('&') {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| malformed("a parameter has no value"))?;
            let known =
                PARAMETERS.into_iter().find(|parameter| parameter.eq_ignore_ascii_case(name));
            let name = known.ok_or_else(|| malformed("proof has an unknown parameter"))?;
            if params.iter().any(|(other, _)| *other == name) {
                return Err(malformed(format!("duplicate parameter {name}")));
            }
            let value = encode::decode(value)
                .filter(|value| !value.is_empty() && !value.contains(char::is_control));
            params.push((
                name,
                value.ok_or_else(|| {
                    malformed(format!("{name} is empty or has a malformed percent-escape"))
                })?,
            ));
        }
        Ok(Self(params))
    }

    fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref())
    }

    fn required(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| malformed(format!("{name} is missing")))
    }
}

impl<'a> UnverifiedProof<'a> {
    /// Parses a proof.
    ///
    /// # Errors
    /// [`Class::Malformed`], [`Class::WrongAction`], [`Class::WrongService`] and
    /// [`Class::LifetimeTooLong`], naming the missing or malformed part. The text itself is not
    /// included, because it may be a password.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        let (scheme, authority, query) = split(text)?;
        let params = ProofParams::read(query)?;
        let action = params.required("Action")?;
        if action != ACTION {
            return Err(Failure::new(
                Class::WrongAction,
                format!("proof has the action {}, but {ACTION:?} is required", quoted(action)),
            ));
        }
        for (name, expected) in [("Version", VERSION), ("X-Amz-Algorithm", ALGORITHM)] {
            if params.required(name)? != expected {
                return Err(malformed(format!("{name} is not {expected}")));
            }
        }
        let names_user = signed_headers(params.required("X-Amz-SignedHeaders")?)?;
        let date = AmzDate::parse(params.required("X-Amz-Date")?)
            .ok_or_else(|| malformed("X-Amz-Date is not of the form 20240115T120000Z"))?;
        let (access_key_id, region) = credential(params.required("X-Amz-Credential")?, date)?;
        let expires = lifetime(params.required("X-Amz-Expires")?)?;
        let signature = Signature::parse(params.required("X-Amz-Signature")?);
        signature
            .ok_or_else(|| malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits"))?;
        let parameters = PARAMETERS
            .into_iter()
            .filter_map(|name| Some((name, Zeroizing::new(params.optional(name)?.to_owned()))));
        Ok(Self {
            scheme,
            authority,
            parameters: parameters.collect(),
            access_key_id,
            region,
            date,
            expires,
            names_user,
        })
    }

    /// The host of the STS endpoint.
    #[must_use]
    pub const fn authority(&self) -> &str {
        self.authority
    }

    /// The access key named by the proof.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The region of the credential scope.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The date of the proof.
    #[must_use]
    pub fn date(&self) -> SystemTime {
        self.date.to_system_time()
    }

    /// The requested lifetime.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.expires
    }

    /// Returns true if the proof is bound to a database user.
    #[must_use]
    pub const fn names_user(&self) -> bool {
        self.names_user
    }

    /// Length of the session token in bytes, if present.
    #[must_use]
    pub fn session_token_length(&self) -> Option<usize> {
        self.parameters.iter().find(|(name, _)| *name == TOKEN).map(|(_, token)| token.len())
    }

    /// Checks that `now` is within the validity that the proof claims. STS ignores `X-Amz-Expires`.
    ///
    /// # Errors
    /// [`Class::NotYetValid`], [`Class::Expired`].
    pub fn current(&self, now: SystemTime) -> Result<(), Failure> {
        let (date, end) = (self.date(), self.date() + self.expires);
        if date > now + CLOCK_SKEW {
            let detail = format!(
                "proof is dated {}, but the local clock is at {}",
                rfc3339(date),
                rfc3339(now)
            );
            return Err(Failure::new(Class::NotYetValid, detail));
        }
        if now > end {
            let detail = format!(
                "proof expired at {}, and the local clock is at {}; mint a proof for each login",
                rfc3339(end),
                rfc3339(now)
            );
            return Err(Failure::new(Class::Expired, detail));
        }
        Ok(())
    }

    /// Builds the request to STS. `binding` is the verifier's view of the login; the client cannot
    /// influence it.
    ///
    /// # Errors
    /// [`Class::WrongHost`] and [`Class::WrongRegion`] if `sts` does not trust the endpoint,
    /// [`Class::WrongUser`] if the proof is bound to a user and the login has none, and those of
    /// [`Self::current`].
    pub fn request(
        self,
        sts: &TrustedSts,
        binding: Binding<'_>,
        now: SystemTime,
    ) -> Result<StsRequest, Failure> {
        let endpoint = sts.find(self.scheme, self.authority).ok_or_else(|| {
            let detail = format!(
                "proof is for STS at {}, which this verifier does not trust",
                quoted(self.authority)
            );
            Failure::new(Class::WrongHost, detail)
        })?;
        if !sts.signs_for(&endpoint, &self.region) {
            let detail = format!(
                "proof is signed for the region {}, but its endpoint is {endpoint}",
                quoted(&self.region)
            );
            return Err(Failure::new(Class::WrongRegion, detail));
        }
        self.current(now)?;
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            (AUDIENCE_HEADER, binding.audience.as_str().to_owned()),
        ];
        if self.names_user {
            let user = binding.user_value().ok_or_else(|| {
                Failure::new(
                    Class::WrongUser,
                    "proof is bound to a database user, but the login has none",
                )
            })?;
            headers.push((USER_HEADER, user));
        }
        let mut url = Zeroizing::new(String::with_capacity(3 * MAX_PROOF));
        url.push_str(&endpoint.to_string());
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            url.push_str(if index == 0 { "/?" } else { "&" });
            url.extend([name, "="]);
            encode::encode(&mut url, value);
        }
        Ok(StsRequest { url, headers, partition: sts.partition() })
    }
}

/// Splits a URL whose path is `/` into scheme, authority and query. Decodes and resolves nothing,
/// and rejects any other form.
fn split(text: &str) -> Result<(&str, &str, &str), Failure> {
    if text.len() > MAX_PROOF {
        return Err(malformed(format!(
            "proof is {} bytes long; the limit is {MAX_PROOF}",
            text.len()
        )));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['#', '\\']) {
        return Err(malformed("proof has invalid characters"));
    }
    let (scheme, rest) =
        text.split_once("://").ok_or_else(|| malformed("text without a scheme is not a proof"))?;
    if scheme != "https" && scheme != "http" {
        return Err(malformed("scheme is not https"));
    }
    let (authority, query) = rest.split_once('/').ok_or_else(|| malformed("path is missing"))?;
    if authority.contains(['@', '?', '%']) {
        return Err(malformed("text before the path is not HOST or HOST:PORT"));
    }
    let query = query.strip_prefix('?').ok_or_else(|| malformed("path is not `/`"))?;
    Ok((scheme, authority, query))
}

/// Returns true if the user is a signed header. Host and audience must be signed, and other headers
/// must not: STS cannot confirm a header that the verifier does not send, and a header that it
/// sends without understanding it has no meaning.
fn signed_headers(names: &str) -> Result<bool, Failure> {
    let names: Vec<&str> = names.split(';').collect();
    match *names {
        ["host", AUDIENCE_HEADER] => Ok(false),
        ["host", AUDIENCE_HEADER, USER_HEADER] => Ok(true),
        _ => Err(malformed(format!(
            "X-Amz-SignedHeaders is not `host;{AUDIENCE_HEADER}`, with or without `;{USER_HEADER}`"
        ))),
    }
}

fn credential(text: &str, date: AmzDate) -> Result<(AccessKeyId, String), Failure> {
    let parts = text.split_once('/').and_then(|(id, scope)| Some((id, Scope::parse(scope)?)));
    let (id, scope) = parts
        .ok_or_else(|| malformed("X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request"))?;
    if scope.day != date.stamp().day() {
        return Err(malformed("X-Amz-Credential and X-Amz-Date have different days"));
    }
    if scope.service != SERVICE {
        let detail = format!(
            "proof is signed for the service {}, but {SERVICE:?} is required",
            quoted(scope.service)
        );
        return Err(Failure::new(Class::WrongService, detail));
    }
    let id = id.parse().map_err(|error| malformed(format!("X-Amz-Credential: {error}")))?;
    Ok((id, scope.region.to_owned()))
}

fn lifetime(text: &str) -> Result<Duration, Failure> {
    let decimal = text.bytes().all(|digit| digit.is_ascii_digit());
    let seconds = text.parse::<u32>().ok().filter(|seconds| decimal && *seconds > 0);
    let lifetime = seconds
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| malformed("X-Amz-Expires is not a number of seconds"))?;
    if lifetime > LIFETIME {
        return Err(Failure::new(
            Class::LifetimeTooLong,
            format!("X-Amz-Expires is {}; the limit is 900", lifetime.as_secs()),
        ));
    }
    Ok(lifetime)
}

/// A GET request to STS, built only from checked parts. Its `Debug` is redacted.
pub struct StsRequest {
    url: Zeroizing<String>,
    headers: Vec<(&'static str, String)>,
    partition: Partition,
}

impl StsRequest {
    /// The complete URL, including the signature. It must not be displayed.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers to send, in addition to `host`.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The partition that the identity must belong to.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }
}

impl fmt::Debug for StsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StsRequest([redacted])")
    }
}
