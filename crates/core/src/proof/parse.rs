//! Reading a proof, and building anew the request that it is.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::{
    ACTION, AUDIENCE_HEADER, Binding, MAX_PROOF, SERVICE, TrustedSts, USER_HEADER, VERSION,
};
use crate::failure::{Class, Failure, quoted};
use crate::name::AccessKeyId;
use crate::region::Partition;
use crate::sigv4::{ALGORITHM, Scope, Signature, encode};
use crate::timestamp::{AmzDate, rfc3339};
use crate::token::{CLOCK_SKEW, LIFETIME};

/// Every parameter that a proof may have, sorted as they are signed.
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

/// The one that may be absent.
const TOKEN: &str = "X-Amz-Security-Token";

/// What a proof claims. Nothing of it has been checked but its form.
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
    /// Neither the signature nor the session token.
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

/// The parameters of a query.
struct Said<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Said<'a> {
    /// Takes what is on the list, each once: names that differ in case alone are the same (CVE-2022-2385).
    fn read(query: &'a str) -> Result<Self, Failure> {
        let mut said: Vec<(&'static str, Cow<'a, str>)> = Vec::with_capacity(PARAMETERS.len());
        for pair in query.split('&') {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| malformed("a parameter has no value"))?;
            let known =
                PARAMETERS.into_iter().find(|parameter| parameter.eq_ignore_ascii_case(name));
            let name =
                known.ok_or_else(|| malformed("it has a parameter that a proof does not have"))?;
            if said.iter().any(|(other, _)| *other == name) {
                return Err(malformed(format!("{name} stands twice")));
            }
            let value = encode::decode(value)
                .filter(|value| !value.is_empty() && !value.contains(char::is_control));
            said.push((
                name,
                value.ok_or_else(|| {
                    malformed(format!("{name} is empty or has a broken percent-escape"))
                })?,
            ));
        }
        Ok(Self(said))
    }

    fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref())
    }

    fn required(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| malformed(format!("{name} is missing")))
    }
}

impl<'a> UnverifiedProof<'a> {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`Class::Malformed`], [`Class::WrongAction`], [`Class::WrongService`] and [`Class::LifetimeTooLong`], with what is
    /// missing or broken: never with the text itself, which may be a password.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        let (scheme, authority, query) = split(text)?;
        let said = Said::read(query)?;
        let action = said.required("Action")?;
        if action != ACTION {
            return Err(Failure::new(
                Class::WrongAction,
                format!("its action is {}, proofs have {ACTION:?}", quoted(action)),
            ));
        }
        for (name, expected) in [("Version", VERSION), ("X-Amz-Algorithm", ALGORITHM)] {
            if said.required(name)? != expected {
                return Err(malformed(format!("{name} is not {expected}")));
            }
        }
        let names_user = signed_headers(said.required("X-Amz-SignedHeaders")?)?;
        let date = AmzDate::parse(said.required("X-Amz-Date")?)
            .ok_or_else(|| malformed("X-Amz-Date is not of the form 20240115T120000Z"))?;
        let (access_key_id, region) = credential(said.required("X-Amz-Credential")?, date)?;
        let expires = lifetime(said.required("X-Amz-Expires")?)?;
        let signature = Signature::parse(said.required("X-Amz-Signature")?);
        signature
            .ok_or_else(|| malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits"))?;
        let parameters = PARAMETERS
            .into_iter()
            .filter_map(|name| Some((name, Zeroizing::new(said.optional(name)?.to_owned()))));
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

    /// The host of the STS that is to confirm it.
    #[must_use]
    pub const fn authority(&self) -> &str {
        self.authority
    }

    /// The access key that claims to have signed.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The region of the credential scope.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// When the proof was dated.
    #[must_use]
    pub fn date(&self) -> SystemTime {
        self.date.to_system_time()
    }

    /// How long it claims to be good for.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.expires
    }

    /// Whether it is bound to a database user.
    #[must_use]
    pub const fn names_user(&self) -> bool {
        self.names_user
    }

    /// How long its session token is, in bytes, where it has one.
    #[must_use]
    pub fn session_token_length(&self) -> Option<usize> {
        self.parameters.iter().find(|(name, _)| *name == TOKEN).map(|(_, token)| token.len())
    }

    /// Whether `now` lies within what the proof claims of itself. STS does not look at `X-Amz-Expires`.
    ///
    /// # Errors
    /// [`Class::NotYetValid`], [`Class::Expired`].
    pub fn current(&self, now: SystemTime) -> Result<(), Failure> {
        let (date, end) = (self.date(), self.date() + self.expires);
        if date > now + CLOCK_SKEW {
            let detail =
                format!("it is dated {}, the clock here says {}", rfc3339(date), rfc3339(now));
            return Err(Failure::new(Class::NotYetValid, detail));
        }
        if now > end {
            let detail = format!(
                "it was good until {}, the clock here says {}; mint one for each login",
                rfc3339(end),
                rfc3339(now)
            );
            return Err(Failure::new(Class::Expired, detail));
        }
        Ok(())
    }

    /// The request that STS is to answer. `binding` is what the verifier knows of the login: the client has no say in it.
    ///
    /// # Errors
    /// [`Class::WrongHost`] and [`Class::WrongRegion`] where `sts` has no such endpoint, [`Class::WrongUser`] where the
    /// proof is bound to a user and the login has none, and what [`Self::current`] says.
    pub fn request(
        self,
        sts: &TrustedSts,
        binding: Binding<'_>,
        now: SystemTime,
    ) -> Result<StsRequest, Failure> {
        let endpoint = sts.find(self.scheme, self.authority).ok_or_else(|| {
            let detail = format!(
                "it is for STS at {}, which is no endpoint that is trusted here",
                quoted(self.authority)
            );
            Failure::new(Class::WrongHost, detail)
        })?;
        if !sts.signs_for(&endpoint, &self.region) {
            let detail = format!(
                "it is signed for the region {}, and sent to {endpoint}",
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
                Failure::new(Class::WrongUser, "it is for one database user, the login names none")
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

/// Scheme, authority and query of a URL whose path is `/`. Nothing is decoded and nothing resolved: what is not exactly
/// of that form is refused.
fn split(text: &str) -> Result<(&str, &str, &str), Failure> {
    if text.len() > MAX_PROOF {
        return Err(malformed(format!("it is {} bytes long, the most is {MAX_PROOF}", text.len())));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['#', '\\']) {
        return Err(malformed("it has characters that a proof does not have"));
    }
    let (scheme, rest) =
        text.split_once("://").ok_or_else(|| malformed("it has no scheme: this is not a proof"))?;
    if scheme != "https" && scheme != "http" {
        return Err(malformed("its scheme is not https"));
    }
    let (authority, query) = rest.split_once('/').ok_or_else(|| malformed("it has no path"))?;
    if authority.contains(['@', '?', '%']) {
        return Err(malformed("what stands before the path is not HOST or HOST:PORT"));
    }
    let query = query.strip_prefix('?').ok_or_else(|| malformed("its path is not `/`"))?;
    Ok((scheme, authority, query))
}

/// Whether the user is among what is signed. Host and audience must be, and nothing else may: a header that the verifier
/// does not send can't be confirmed, and one that it sends unknowingly means nothing.
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
        return Err(malformed("X-Amz-Credential names another day than X-Amz-Date"));
    }
    if scope.service != SERVICE {
        let detail = format!(
            "it is signed for the service {}, proofs for {SERVICE:?}",
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
            format!("X-Amz-Expires is {}, the most is 900", lifetime.as_secs()),
        ));
    }
    Ok(lifetime)
}

/// A GET that STS answers, if the proof is good: made only from checked parts. `Debug` shows nothing of it.
pub struct StsRequest {
    url: Zeroizing<String>,
    headers: Vec<(&'static str, String)>,
    partition: Partition,
}

impl StsRequest {
    /// The whole URL, which holds the signature: for sending, never for showing.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers to send, besides `host`.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The partition that the identity must be of.
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
