//! Reading a token, whatever wrote it: parameters in any order, escaped or not, with or without the slash.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::{LIFETIME, MAX_TOKEN, SERVICE};
use crate::failure::{Class, Failure};
use crate::name::AccessKeyId;
use crate::sigv4::{ALGORITHM, Scope, Signature, encode};
use crate::timestamp::AmzDate;

/// The most parameters that a token may have; botocore writes nine.
const MAX_PARAMETERS: usize = 32;

/// What a token claims. Nothing of it has been checked but its form.
pub struct UnverifiedToken<'a> {
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    /// Names and values as written, the signature left out.
    pub(super) parameters: Vec<(&'a str, &'a str)>,
    pub(super) action: Cow<'a, str>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) access_key_id: AccessKeyId,
    pub(super) credential: Cow<'a, str>,
    pub(super) date: AmzDate,
    pub(super) expires: Duration,
    pub(super) session_token: Option<Cow<'a, str>>,
    pub(super) signature: Signature,
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
            return Err(malformed(format!("it is {} bytes long, the most is {MAX_TOKEN}", text.len())));
        }
        let (address, query) = text.split_once('?').ok_or_else(|| malformed("it has no `?`: this is not a token"))?;
        let (host, port) = split_address(address)?;
        let parameters = split_query(query)?;
        let required = |name: &str| value(&parameters, name)?.ok_or_else(|| malformed(format!("{name} is missing")));
        if required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(malformed(format!("X-Amz-Algorithm is not {ALGORITHM}")));
        }
        if required("X-Amz-SignedHeaders")? != "host" {
            return Err(malformed("X-Amz-SignedHeaders is not `host`"));
        }
        let credential = required("X-Amz-Credential")?;
        let date = AmzDate::parse(&required("X-Amz-Date")?).ok_or_else(|| malformed("X-Amz-Date is not of the form 20240115T120000Z"))?;
        let access_key_id = check_credential(&credential, date)?;
        let expires = required("X-Amz-Expires")?.parse().ok().filter(|seconds: &u64| *seconds > 0 && *seconds <= u64::from(u32::MAX));
        let signature = Signature::parse(&required("X-Amz-Signature")?);
        Ok(Self {
            host,
            port,
            action: required("Action")?,
            user: value(&parameters, "DBUser")?,
            access_key_id,
            date,
            expires: expires.map(Duration::from_secs).ok_or_else(|| malformed("X-Amz-Expires is not a number of seconds"))?,
            session_token: value(&parameters, "X-Amz-Security-Token")?.filter(|token| !token.is_empty()),
            signature: signature.ok_or_else(|| malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits"))?,
            credential,
            parameters: parameters.into_iter().filter(|(name, _)| *name != "X-Amz-Signature").collect(),
        })
    }

    /// What a token must have wherever it is used: service, action, port, user, and a lifetime of 900 seconds at most.
    ///
    /// # Errors
    /// [`Class::WrongService`], [`Class::WrongAction`], [`Class::Malformed`], [`Class::LifetimeTooLong`].
    pub fn check(&self) -> Result<(), Failure> {
        let service = self.scope()?.service;
        if service != SERVICE {
            return Err(Failure::new(Class::WrongService, format!("it is signed for the service {service:?}, logins need {SERVICE:?}")));
        }
        if self.action != "connect" {
            return Err(Failure::new(Class::WrongAction, format!("its action is {:?}, logins need \"connect\"", self.action)));
        }
        if self.port.is_none() {
            return Err(malformed("the port is missing: a token begins with HOST:PORT"));
        }
        if self.user.as_deref().is_none_or(str::is_empty) {
            return Err(malformed("DBUser is missing"));
        }
        if self.expires > LIFETIME {
            return Err(Failure::new(Class::LifetimeTooLong, format!("X-Amz-Expires is {}, the most is 900", self.expires.as_secs())));
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
    pub fn region(&self) -> &str {
        self.scope().map_or("", |scope| scope.region)
    }

    /// The service of the credential scope.
    #[must_use]
    pub fn service(&self) -> &str {
        self.scope().map_or("", |scope| scope.service)
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

    /// The scope that the credential names.
    pub(super) fn scope(&self) -> Result<Scope<'_>, Failure> {
        let scope = self.credential.split_once('/').and_then(|(_, scope)| Scope::parse(scope));
        scope.ok_or_else(|| malformed("X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request"))
    }
}

/// `HOST:PORT`, with or without a slash behind it.
fn split_address(address: &str) -> Result<(&str, Option<u16>), Failure> {
    if address.contains("://") {
        return Err(malformed("it begins with a scheme: a token begins with HOST:PORT"));
    }
    let address = address.strip_suffix('/').unwrap_or(address);
    if address.contains(['/', '@', ' ']) {
        return Err(malformed("what stands before the `?` is not HOST:PORT/"));
    }
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

fn split_query(query: &str) -> Result<Vec<(&str, &str)>, Failure> {
    let mut parameters: Vec<(&str, &str)> = Vec::with_capacity(12);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a parameter has no value"))?;
        if parameters.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            return Err(malformed("a parameter stands twice"));
        }
        if parameters.len() == MAX_PARAMETERS {
            return Err(malformed(format!("it has more than {MAX_PARAMETERS} parameters")));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

fn value<'a>(parameters: &[(&'a str, &'a str)], name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
    let Some((_, raw)) = parameters.iter().find(|(parameter, _)| *parameter == name) else { return Ok(None) };
    encode::decode(raw).map(Some).ok_or_else(|| malformed(format!("{name} has a broken percent-escape")))
}

fn check_credential(credential: &str, date: AmzDate) -> Result<AccessKeyId, Failure> {
    let (id, scope) = credential.split_once('/').ok_or_else(|| malformed("X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request"))?;
    let scope = Scope::parse(scope).ok_or_else(|| malformed("X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request"))?;
    if scope.day != date.stamp().day() {
        return Err(malformed("X-Amz-Credential names another day than X-Amz-Date"));
    }
    id.parse().map_err(|error| malformed(format!("X-Amz-Credential: {error}")))
}
