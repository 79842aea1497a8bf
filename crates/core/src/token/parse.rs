//! Parser of tokens of any SDK: parameters in any order, escaped or not, with or without the slash.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::format::{LIFETIME, MAX_TOKEN, SERVICE};
use crate::failure::{Class, Failure, quoted};
use crate::name::AccessKeyId;
use crate::sigv4::encode::{self, EncodedText};
use crate::sigv4::{ALGORITHM, Scope, Signature};
use crate::timestamp::AmzDate;

/// Maximum number of parameters of a token; botocore writes nine.
const MAX_PARAMETERS: usize = 32;

const DUPLICATE: &str = "duplicate parameter";
const SCOPE: &str = "X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request";

const CREDENTIAL: &str = "X-Amz-Credential";
const SIGNATURE: &str = "X-Amz-Signature";

/// Name of the parameter with the database user.
pub(super) const USER: &str = "DBUser";

/// The claims of a token. Only their form has been checked.
pub struct UnverifiedToken<'a> {
    /// Host and port as written.
    pub(super) address: &'a str,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    pub(super) query: &'a str,
    /// Sorted, without the signature.
    pub(super) parameters: Vec<Parameter<'a>>,
    pub(super) action: Cow<'a, str>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) access_key_id: AccessKeyId,
    pub(super) scope: Scope<'a>,
    pub(super) date: AmzDate,
    /// The date as signed.
    pub(super) stamp: Cow<'a, str>,
    pub(super) expires: Duration,
    pub(super) session_token: Option<Cow<'a, str>>,
    pub(super) signature: Signature,
}

/// A parameter as written.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Range in the query.
    pub(super) range: Range<usize>,
    /// True if it is written in the form that SigV4 signs.
    pub(super) canonical: bool,
}

/// Values of the known parameters.
#[derive(Default)]
struct TokenParams<'a> {
    action: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    algorithm: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    session_token: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    credential: Option<Credential<'a>>,
}

impl<'a> TokenParams<'a> {
    /// Stores a known parameter and returns true if its value is written in the form that SigV4
    /// signs. Returns `None` for an unknown parameter.
    fn take(&mut self, name: &str, value: EncodedText<'a>) -> Result<Option<bool>, Failure> {
        let (canonical, earlier) = if name == CREDENTIAL {
            let credential = Credential::split(value.text).ok_or_else(|| malformed(SCOPE))?;
            (credential.canonical, self.credential.replace(credential).is_some())
        } else {
            let Some(meaning) = self.by(name) else {
                return Ok(None);
            };
            let decoded = value
                .decode()
                .ok_or_else(|| malformed(format!("{name} has a malformed percent-escape")))?;
            (decoded.canonical, meaning.replace(decoded.text).is_some())
        };
        if earlier { Err(malformed(DUPLICATE)) } else { Ok(Some(canonical)) }
    }

    fn by(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "Action" => &mut self.action,
            USER => &mut self.user,
            "X-Amz-Algorithm" => &mut self.algorithm,
            "X-Amz-Date" => &mut self.date,
            "X-Amz-Expires" => &mut self.expires,
            "X-Amz-Security-Token" => &mut self.session_token,
            "X-Amz-SignedHeaders" => &mut self.signed_headers,
            SIGNATURE => &mut self.signature,
            _ => return None,
        })
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    /// Omits the signature and the session token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("access_key_id", &self.access_key_id)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

fn malformed(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Malformed, detail)
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a token.
    ///
    /// # Errors
    /// [`Class::Malformed`], naming the missing or malformed part. The text itself is not included,
    /// because it may be a password.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        if text.len() > MAX_TOKEN {
            return Err(malformed(format!(
                "token is {} bytes long; the limit is {MAX_TOKEN}",
                text.len()
            )));
        }
        let (address, query) = split_address(text)?;
        let (host, port) = split_port(address)?;
        let mut params = TokenParams::default();
        let parameters = split_query(query, &mut params)?;
        let required = |value: Option<Cow<'a, str>>, name: &str| {
            value.ok_or_else(|| malformed(format!("{name} is missing")))
        };
        if required(params.algorithm, "X-Amz-Algorithm")? != ALGORITHM {
            return Err(malformed(format!("X-Amz-Algorithm is not {ALGORITHM}")));
        }
        if required(params.signed_headers, "X-Amz-SignedHeaders")? != "host" {
            return Err(malformed("X-Amz-SignedHeaders is not `host`"));
        }
        let Credential { id, scope, .. } =
            params.credential.ok_or_else(|| malformed("X-Amz-Credential is missing"))?;
        let stamp = required(params.date, "X-Amz-Date")?;
        let date = AmzDate::parse(&stamp)
            .ok_or_else(|| malformed("X-Amz-Date is not of the form 20240115T120000Z"))?;
        if !stamp.starts_with(scope.day) {
            return Err(malformed("X-Amz-Credential and X-Amz-Date have different days"));
        }
        let expires = required(params.expires, "X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds: &u64| *seconds > 0 && *seconds <= u64::from(u32::MAX));
        let signature = Signature::parse(&required(params.signature, SIGNATURE)?);
        Ok(Self {
            address,
            host,
            port,
            query,
            parameters,
            action: required(params.action, "Action")?,
            user: params.user,
            access_key_id: id
                .parse()
                .map_err(|error| malformed(format!("X-Amz-Credential: {error}")))?,
            date,
            stamp,
            expires: expires
                .map(Duration::from_secs)
                .ok_or_else(|| malformed("X-Amz-Expires is not a number of seconds"))?,
            session_token: params.session_token.filter(|token| !token.is_empty()),
            signature: signature.ok_or_else(|| {
                malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits")
            })?,
            scope,
        })
    }

    /// Checks the requirements of any token: service, action, port, user, and a lifetime of at most
    /// 900 seconds.
    ///
    /// # Errors
    /// [`Class::WrongService`], [`Class::WrongAction`], [`Class::Malformed`],
    /// [`Class::LifetimeTooLong`].
    pub fn check(&self) -> Result<(), Failure> {
        let service = self.scope.service;
        if service != SERVICE {
            return Err(Failure::new(
                Class::WrongService,
                format!(
                    "token is signed for the service {}, but logins require {SERVICE:?}",
                    quoted(service)
                ),
            ));
        }
        if self.action != "connect" {
            return Err(Failure::new(
                Class::WrongAction,
                format!(
                    "token has the action {}, but logins require \"connect\"",
                    quoted(&self.action)
                ),
            ));
        }
        if self.port.is_none() {
            return Err(malformed("the port is missing; a token begins with HOST:PORT"));
        }
        if self.user.as_deref().is_none_or(str::is_empty) {
            return Err(malformed("DBUser is missing"));
        }
        if self.expires > LIFETIME {
            return Err(Failure::new(
                Class::LifetimeTooLong,
                format!("X-Amz-Expires is {}; the limit is 900", self.expires.as_secs()),
            ));
        }
        Ok(())
    }

    /// The host as written.
    #[must_use]
    pub const fn host(&self) -> &str {
        self.host
    }

    /// The port, if present.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The database user of the token.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The action; `connect` in every valid token.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The access key named by the token.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The region of the credential scope.
    #[must_use]
    pub const fn region(&self) -> &str {
        self.scope.region
    }

    /// The service of the credential scope.
    #[must_use]
    pub const fn service(&self) -> &str {
        self.scope.service
    }

    /// The date of the token.
    #[must_use]
    pub fn date(&self) -> SystemTime {
        self.date.to_system_time()
    }

    /// The requested lifetime.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.expires
    }

    /// Length of the session token in bytes, if present.
    #[must_use]
    pub fn session_token_length(&self) -> Option<usize> {
        self.session_token.as_ref().map(|token| token.len())
    }
}

/// Splits a token at `?` or `/?`.
fn split_address(text: &str) -> Result<(&str, &str), Failure> {
    let end = text
        .bytes()
        .position(|byte| matches!(byte, b'?' | b'/' | b'@' | b' '))
        .unwrap_or(text.len());
    let (address, tail) = text.split_at_checked(end).unwrap_or((text, ""));
    if let Some(query) = tail.strip_prefix("/?").or_else(|| tail.strip_prefix('?')) {
        return Ok((address, query));
    }
    Err(malformed(match text.split_once('?') {
        None => "text without `?` is not a token",
        Some((address, _)) if address.contains("://") => {
            "token begins with a scheme; remove it: a token begins with HOST:PORT"
        }
        Some(_) => "text before the `?` is not HOST:PORT/",
    }))
}

/// Splits `HOST:PORT`, with an IPv6 address in brackets or without.
fn split_port(address: &str) -> Result<(&str, Option<u16>), Failure> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let decimal = port.bytes().all(|digit| digit.is_ascii_digit());
            let port = port.parse().ok().filter(|port| decimal && *port != 0);
            (host, Some(port.ok_or_else(|| malformed("the port is not a number from 1 to 65535"))?))
        }
        _ => (address, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { Err(malformed("the host is missing")) } else { Ok((host, port)) }
}

/// Splits a query into parameters, sorted as they are signed and without the signature. Stores the
/// values of known parameters in `params`.
fn split_query<'a>(
    query: &'a str,
    params: &mut TokenParams<'a>,
) -> Result<Vec<Parameter<'a>>, Failure> {
    let mut parameters: Vec<Parameter<'_>> = Vec::with_capacity(9);
    let mut unknown = Vec::new();
    let mut start = 0;
    let mut rest = Some(query);
    while let Some(pairs) = rest {
        let (name, tail) = EncodedText::split(b'=', pairs);
        let tail = tail
            .filter(|_| name.plain || !name.text.contains('&'))
            .ok_or_else(|| malformed("a parameter has no value"))?;
        let (value, tail) = EncodedText::split(b'&', tail);
        let canonical = params.take(name.text, value)?.unwrap_or_else(|| {
            unknown.push(name.text);
            [name, value]
                .into_iter()
                .all(|part| part.decode().is_some_and(|decoded| decoded.canonical))
        });
        if parameters.len() == MAX_PARAMETERS {
            return Err(malformed(format!("token has more than {MAX_PARAMETERS} parameters")));
        }
        let range = start..start + name.text.len() + "=".len() + value.text.len();
        start = range.end + "&".len();
        if name.text != SIGNATURE {
            parameters.push(Parameter { name: name.text, value: value.text, range, canonical });
        }
        rest = tail;
    }
    let names = || parameters.iter().map(|parameter| parameter.name).chain([SIGNATURE]);
    if unknown
        .iter()
        .any(|unknown| names().filter(|name| name.eq_ignore_ascii_case(unknown)).count() > 1)
    {
        return Err(malformed(DUPLICATE));
    }
    // Names are unique. Botocore writes them sorted unless there is a session token.
    if !parameters.is_sorted_by_key(|parameter| parameter.name) {
        parameters.sort_unstable_by_key(|parameter| parameter.name);
    }
    Ok(parameters)
}

/// The parts of `X-Amz-Credential` as written.
struct Credential<'a> {
    id: &'a str,
    scope: Scope<'a>,
    canonical: bool,
}

impl<'a> Credential<'a> {
    /// Splits `KEY/DAY/REGION/SERVICE/aws4_request`, with slashes escaped or not. No other byte of
    /// it needs escaping.
    fn split(written: &'a str) -> Option<Self> {
        let mut canonical = true;
        let mut rest = Some(written);
        let mut part = || {
            let (part, tail) = encode::split_plain(rest?);
            rest = tail.strip_prefix("%2F");
            if rest.is_none() && !tail.is_empty() {
                canonical = false;
                rest = Some(tail.strip_prefix('/').or_else(|| tail.strip_prefix("%2f"))?);
            }
            Some(part)
        };
        let parts = [part()?, part()?, part()?, part()?, part()?];
        let closed = part().is_none();
        let [id, day, region, service, "aws4_request"] = parts else {
            return None;
        };
        (closed && day.len() == 8 && !region.is_empty() && !service.is_empty()).then_some(Self {
            id,
            scope: Scope { day, region, service },
            canonical,
        })
    }
}
