//! Reading a token, whatever wrote it: parameters in any order, escaped or not, with or without the slash.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::{LIFETIME, MAX_TOKEN, SERVICE};
use crate::failure::{Class, Failure, quoted};
use crate::name::AccessKeyId;
use crate::sigv4::encode::{self, Written};
use crate::sigv4::{ALGORITHM, Scope, Signature};
use crate::timestamp::AmzDate;

/// The most parameters that a token may have; botocore writes nine.
const MAX_PARAMETERS: usize = 32;

const TWICE: &str = "a parameter stands twice";

const SCOPE: &str = "X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request";

const CREDENTIAL: &str = "X-Amz-Credential";

const SIGNATURE: &str = "X-Amz-Signature";

/// The parameter with the database user.
pub(super) const USER: &str = "DBUser";

/// What a token claims. Nothing of it has been checked but its form.
pub struct UnverifiedToken<'a> {
    /// Host and port as printed.
    pub(super) address: &'a str,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    pub(super) query: &'a str,
    /// Sorted, the signature left out.
    pub(super) parameters: Vec<Parameter<'a>>,
    pub(super) action: Cow<'a, str>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) access_key_id: AccessKeyId,
    pub(super) scope: Scope<'a>,
    pub(super) date: AmzDate,
    /// The date as it is signed.
    pub(super) stamp: Cow<'a, str>,
    pub(super) expires: Duration,
    pub(super) session_token: Option<Cow<'a, str>>,
    pub(super) signature: Signature,
}

/// A parameter as it is written.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Where in the query it begins and ends.
    pub(super) place: Range<usize>,
    /// Whether it is written as SigV4 signs it.
    pub(super) canonical: bool,
}

/// What the parameters say that mean something in a token.
#[derive(Default)]
struct Said<'a> {
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

impl<'a> Said<'a> {
    /// Takes in a parameter, and says whether its value is written as SigV4 signs it; `None` for one that means nothing.
    fn take(&mut self, name: &str, value: Written<'a>) -> Result<Option<bool>, Failure> {
        let (canonical, earlier) = if name == CREDENTIAL {
            let credential = Credential::split(value.text).ok_or_else(|| malformed(SCOPE))?;
            (credential.canonical, self.credential.replace(credential).is_some())
        } else {
            let Some(meaning) = self.by(name) else {
                return Ok(None);
            };
            let reading = value
                .read()
                .ok_or_else(|| malformed(format!("{name} has a broken percent-escape")))?;
            (reading.canonical, meaning.replace(reading.text).is_some())
        };
        if earlier { Err(malformed(TWICE)) } else { Ok(Some(canonical)) }
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
    /// Neither the signature nor the session token.
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
    /// Reads a token.
    ///
    /// # Errors
    /// [`Class::Malformed`], with what is missing or broken: never with the text itself, which may be a password.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        if text.len() > MAX_TOKEN {
            return Err(malformed(format!(
                "it is {} bytes long, the most is {MAX_TOKEN}",
                text.len()
            )));
        }
        let (address, query) = split_address(text)?;
        let (host, port) = split_port(address)?;
        let mut said = Said::default();
        let parameters = split_query(query, &mut said)?;
        let required = |value: Option<Cow<'a, str>>, name: &str| {
            value.ok_or_else(|| malformed(format!("{name} is missing")))
        };
        if required(said.algorithm, "X-Amz-Algorithm")? != ALGORITHM {
            return Err(malformed(format!("X-Amz-Algorithm is not {ALGORITHM}")));
        }
        if required(said.signed_headers, "X-Amz-SignedHeaders")? != "host" {
            return Err(malformed("X-Amz-SignedHeaders is not `host`"));
        }
        let Credential { id, scope, .. } =
            said.credential.ok_or_else(|| malformed("X-Amz-Credential is missing"))?;
        let stamp = required(said.date, "X-Amz-Date")?;
        let date = AmzDate::parse(&stamp)
            .ok_or_else(|| malformed("X-Amz-Date is not of the form 20240115T120000Z"))?;
        if !stamp.starts_with(scope.day) {
            return Err(malformed("X-Amz-Credential names another day than X-Amz-Date"));
        }
        let expires = required(said.expires, "X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds: &u64| *seconds > 0 && *seconds <= u64::from(u32::MAX));
        let signature = Signature::parse(&required(said.signature, SIGNATURE)?);
        Ok(Self {
            address,
            host,
            port,
            query,
            parameters,
            action: required(said.action, "Action")?,
            user: said.user,
            access_key_id: id
                .parse()
                .map_err(|error| malformed(format!("X-Amz-Credential: {error}")))?,
            date,
            stamp,
            expires: expires
                .map(Duration::from_secs)
                .ok_or_else(|| malformed("X-Amz-Expires is not a number of seconds"))?,
            session_token: said.session_token.filter(|token| !token.is_empty()),
            signature: signature.ok_or_else(|| {
                malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits")
            })?,
            scope,
        })
    }

    /// What a token must have wherever it is used: service, action, port, user, and a lifetime of 900 seconds at most.
    ///
    /// # Errors
    /// [`Class::WrongService`], [`Class::WrongAction`], [`Class::Malformed`], [`Class::LifetimeTooLong`].
    pub fn check(&self) -> Result<(), Failure> {
        let service = self.scope.service;
        if service != SERVICE {
            return Err(Failure::new(
                Class::WrongService,
                format!(
                    "it is signed for the service {}, logins need {SERVICE:?}",
                    quoted(service)
                ),
            ));
        }
        if self.action != "connect" {
            return Err(Failure::new(
                Class::WrongAction,
                format!("its action is {}, logins need \"connect\"", quoted(&self.action)),
            ));
        }
        if self.port.is_none() {
            return Err(malformed("the port is missing: a token begins with HOST:PORT"));
        }
        if self.user.as_deref().is_none_or(str::is_empty) {
            return Err(malformed("DBUser is missing"));
        }
        if self.expires > LIFETIME {
            return Err(Failure::new(
                Class::LifetimeTooLong,
                format!("X-Amz-Expires is {}, the most is 900", self.expires.as_secs()),
            ));
        }
        Ok(())
    }

    /// The host as printed.
    #[must_use]
    pub const fn host(&self) -> &str {
        self.host
    }

    /// The port, where there is one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The database user that the token is for.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// `connect`, in every token that is good for anything.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The access key that claims to have signed.
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

    /// When the token was dated.
    #[must_use]
    pub fn date(&self) -> SystemTime {
        self.date.to_system_time()
    }

    /// How long it claims to be good for.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.expires
    }

    /// How long its session token is, in bytes, where it has one.
    #[must_use]
    pub fn session_token_length(&self) -> Option<usize> {
        self.session_token.as_ref().map(|token| token.len())
    }
}

/// What stands before the `?`, a slash left out, and behind it.
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
        None => "it has no `?`: this is not a token",
        Some((address, _)) if address.contains("://") => {
            "it begins with a scheme: a token begins with HOST:PORT"
        }
        Some(_) => "what stands before the `?` is not HOST:PORT/",
    }))
}

/// `HOST:PORT`, an IPv6 address in brackets or not.
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

/// The parameters, sorted as they are signed, but for the signature; and into `said` what they say.
fn split_query<'a>(query: &'a str, said: &mut Said<'a>) -> Result<Vec<Parameter<'a>>, Failure> {
    let mut parameters: Vec<Parameter<'_>> = Vec::with_capacity(9);
    let mut strangers = Vec::new();
    let mut start = 0;
    let mut rest = Some(query);
    while let Some(pairs) = rest {
        let (name, tail) = Written::before(b'=', pairs);
        let tail = tail
            .filter(|_| name.plain || !name.text.contains('&'))
            .ok_or_else(|| malformed("a parameter has no value"))?;
        let (value, tail) = Written::before(b'&', tail);
        let canonical = said.take(name.text, value)?.unwrap_or_else(|| {
            strangers.push(name.text);
            [name, value]
                .into_iter()
                .all(|part| part.read().is_some_and(|reading| reading.canonical))
        });
        if parameters.len() == MAX_PARAMETERS {
            return Err(malformed(format!("it has more than {MAX_PARAMETERS} parameters")));
        }
        let place = start..start + name.text.len() + "=".len() + value.text.len();
        start = place.end + "&".len();
        if name.text != SIGNATURE {
            parameters.push(Parameter { name: name.text, value: value.text, place, canonical });
        }
        rest = tail;
    }
    let names = || parameters.iter().map(|parameter| parameter.name).chain([SIGNATURE]);
    if strangers
        .iter()
        .any(|stranger| names().filter(|name| name.eq_ignore_ascii_case(stranger)).count() > 1)
    {
        return Err(malformed(TWICE));
    }
    // No two names are the same. Botocore's order is that of the names where there is no session token.
    if !parameters.is_sorted_by_key(|parameter| parameter.name) {
        parameters.sort_unstable_by_key(|parameter| parameter.name);
    }
    Ok(parameters)
}

/// The parts of `X-Amz-Credential`, taken from it as it is written.
struct Credential<'a> {
    id: &'a str,
    scope: Scope<'a>,
    canonical: bool,
}

impl<'a> Credential<'a> {
    /// `KEY/DAY/REGION/SERVICE/aws4_request`, the slashes escaped or not; nothing else in it needs escaping.
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
