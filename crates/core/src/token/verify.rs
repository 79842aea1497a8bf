//! From a token that claims to one that is proven: address, key, signature, time.

use std::borrow::Cow;
use std::time::SystemTime;

use super::{CLOCK_SKEW, UnverifiedToken};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::failure::{Class, Failure};
use crate::name::{AccessKeyId, DbUser};
use crate::sigv4::{CanonicalHash, EMPTY_PAYLOAD, KeyCache, encode};
use crate::timestamp::rfc3339;

/// Whether an access key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum KeyStatus {
    /// It may.
    Active,
    /// It is switched off.
    Inactive,
}

/// A token whose claims fit the endpoint and the user; its signature has not been looked at.
#[derive(Debug)]
pub struct AddressedToken<'a> {
    token: UnverifiedToken<'a>,
    pub(super) endpoint: Endpoint,
    user: DbUser,
}

/// A token that the holder of the key's secret made, for this endpoint and user, and that is good now.
#[derive(Debug)]
pub struct VerifiedToken {
    access_key_id: AccessKeyId,
    endpoint: Endpoint,
    user: DbUser,
    date: SystemTime,
}

impl VerifiedToken {
    /// The key that signed.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The endpoint that it was signed for.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The database user that it was signed for.
    #[must_use]
    pub const fn user(&self) -> &DbUser {
        &self.user
    }

    /// When it was minted.
    #[must_use]
    pub const fn date(&self) -> SystemTime {
        self.date
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Checks what the token is for: one of the `endpoints` of a database, and `user`, in that case.
    ///
    /// # Errors
    /// Those of [`UnverifiedToken::check`], then [`Class::WrongRegion`], [`Class::WrongHost`], [`Class::WrongPort`] and
    /// [`Class::WrongUser`], in this order.
    pub fn addressed_to(self, endpoints: &[Endpoint], user: &DbUser) -> Result<AddressedToken<'a>, Failure> {
        self.check()?;
        let region = self.region();
        let here: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.region.as_str() == region).collect();
        if here.is_empty() {
            let expected = listed(endpoints.iter().map(|endpoint| endpoint.region.to_string()));
            return Err(Failure::new(Class::WrongRegion, format!("it is signed for the region {region:?}, the database is in {expected}")));
        }
        let named = |endpoint: &&&Endpoint| same_host(endpoint.host.as_str(), self.host);
        let Some(_) = here.iter().find(named) else {
            let expected = listed(here.iter().map(|endpoint| endpoint.host.to_string()));
            return Err(Failure::new(Class::WrongHost, format!("it is signed for the host {:?}, the database is {expected}", self.host)));
        };
        let Some(endpoint) = here.iter().filter(named).find(|endpoint| Some(endpoint.port) == self.port) else {
            let expected = listed(here.iter().filter(named).map(|endpoint| endpoint.port.to_string()));
            let port = self.port.unwrap_or_default();
            return Err(Failure::new(Class::WrongPort, format!("it is signed for port {port}, the database listens on {expected}")));
        };
        if self.user() != Some(user.as_str()) {
            let claimed = self.user().unwrap_or_default();
            return Err(Failure::new(Class::WrongUser, format!("it is signed for the user {claimed:?}, the login is as {:?}", user.as_str())));
        }
        let endpoint = (**endpoint).clone();
        Ok(AddressedToken { token: self, endpoint, user: user.clone() })
    }
}

/// DNS names are the same in any case, and with a closing dot.
fn same_host(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.join(" or ")
}

impl AddressedToken<'_> {
    /// The key that must have signed.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.token.access_key_id
    }

    /// Checks the token against the key that it names: status, session token, signature, then the times.
    ///
    /// # Errors
    /// [`Class::UnknownKey`] where `key` is another one, [`Class::InactiveKey`], [`Class::SessionTokenMissing`],
    /// [`Class::SessionTokenWrong`], [`Class::SignatureMismatch`], [`Class::NotYetValid`], [`Class::Expired`],
    /// [`Class::SessionExpired`].
    pub fn verify(self, key: &Credentials, status: KeyStatus, keys: &KeyCache, now: SystemTime) -> Result<VerifiedToken, Failure> {
        let id = &self.token.access_key_id;
        if key.access_key_id != *id {
            return Err(Failure::new(Class::UnknownKey, format!("it is signed with {id}, not with {}", key.access_key_id)));
        }
        if status == KeyStatus::Inactive {
            return Err(Failure::new(Class::InactiveKey, format!("the access key {id} is inactive; activate it, or sign with another")));
        }
        self.check_session(key)?;
        if !self.signed_by(&key.secret, keys) {
            let why = "another secret key signed it, or it was changed on the way (cut off, or unescaped twice)";
            return Err(Failure::new(Class::SignatureMismatch, format!("the signature is not that of the access key {id}: {why}")));
        }
        self.check_times(key, now)?;
        let date = self.token.date();
        Ok(VerifiedToken { access_key_id: self.token.access_key_id, endpoint: self.endpoint, user: self.user, date })
    }

    fn check_session(&self, key: &Credentials) -> Result<(), Failure> {
        let id = &key.access_key_id;
        match (&key.session_token, &self.token.session_token) {
            (None, None) => Ok(()),
            (Some(expected), Some(given)) if expected.matches(given) => Ok(()),
            (Some(_), Some(_)) => Err(Failure::new(Class::SessionTokenWrong, format!("its session token is not that of {id}"))),
            (Some(_), None) => {
                Err(Failure::new(Class::SessionTokenMissing, format!("{id} is a temporary key: pass its session token (AWS_SESSION_TOKEN) too")))
            }
            (None, Some(_)) => Err(Failure::new(Class::SessionTokenWrong, format!("{id} is a long-term key, which has no session token"))),
        }
    }

    fn check_times(&self, key: &Credentials, now: SystemTime) -> Result<(), Failure> {
        let (date, end) = (self.token.date(), self.token.date() + self.token.expires);
        if date > now + CLOCK_SKEW {
            let detail = format!("it is dated {}, the clock here says {}", rfc3339(date), rfc3339(now));
            return Err(Failure::new(Class::NotYetValid, detail));
        }
        if now > end {
            let detail = format!("it was good until {}, the clock here says {}; mint one for each login", rfc3339(end), rfc3339(now));
            return Err(Failure::new(Class::Expired, detail));
        }
        match key.expires {
            Some(ends) if now >= ends => {
                Err(Failure::new(Class::SessionExpired, format!("the session of {} ended at {}", key.access_key_id, rfc3339(ends))))
            }
            _ => Ok(()),
        }
    }

    /// Whether `secret` made the signature over any of the spellings that SDKs sign.
    fn signed_by(&self, secret: &Secret, keys: &KeyCache) -> bool {
        let Ok(scope) = self.token.scope() else { return false };
        let key = keys.key(self.token.access_key_id.as_str(), secret, &scope);
        let stamp = self.token.date.stamp();
        let query = self.canonical_query(PlusSign::Literal);
        let signed = |query: &str, host: &str| {
            let mut hash = CanonicalHash::default();
            for part in ["GET\n/\n", query, "\nhost:", host, "\n\nhost\n", EMPTY_PAYLOAD] {
                hash.update(part);
            }
            key.sign(stamp.as_str(), &scope, hash).matches(&self.token.signature)
        };
        // One spelling at a time: the first is nearly always the one.
        let mut hosts = self.signed_hosts();
        if hosts.next().is_some_and(|host| signed(&query, &host)) || hosts.any(|host| signed(&query, &host)) {
            return true;
        }
        if !self.token.parameters.iter().any(|(_, value)| value.contains('+')) {
            return false;
        }
        let query = self.canonical_query(PlusSign::Space);
        self.signed_hosts().any(|host| signed(&query, &host))
    }

    /// The hosts that SDKs sign for this token: as printed, in lower case, and as configured; on port 443 with and without it.
    fn signed_hosts(&self) -> impl Iterator<Item = String> {
        let (host, port) = (self.token.host, self.endpoint.port);
        let with_port = move |host: &str| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let printed = with_port(host);
        let others = [host.to_ascii_lowercase(), self.endpoint.host.as_str().to_owned(), self.endpoint.host.as_str().to_ascii_lowercase()];
        let spellings = std::iter::once(printed).chain(others.into_iter().map(move |host| with_port(&host)));
        spellings.flat_map(move |spelling| {
            let portless = spelling.strip_suffix(":443").map(str::to_owned);
            std::iter::once(spelling).chain(portless)
        })
    }

    /// The parameters as SigV4 signs them: escaped afresh, sorted by name.
    fn canonical_query(&self, plus: PlusSign) -> String {
        let mut parameters: Vec<(&str, &str)> = self.token.parameters.clone();
        parameters.sort_unstable();
        let mut out = String::with_capacity(parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() + 64);
        for (name, value) in parameters {
            out.extend((!out.is_empty()).then_some("&"));
            recode(&mut out, name, plus);
            out.push('=');
            recode(&mut out, value, plus);
        }
        out
    }
}

/// What a `+` in a token stands for. It is a plus; but the Rust SDK leaves the database user unescaped, and then signs a
/// `+` in it as a space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlusSign {
    Literal,
    Space,
}

fn recode(out: &mut String, text: &str, plus: PlusSign) {
    if encode::is_canonical(text) {
        return out.push_str(text);
    }
    let text = if plus == PlusSign::Space { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    encode::encode(out, &encode::decode(&text).unwrap_or(text.clone()));
}
