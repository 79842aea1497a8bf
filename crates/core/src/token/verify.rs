//! Verification of tokens: address, key, signature, time.

use std::borrow::Cow;
use std::time::SystemTime;

use super::format::{CLOCK_SKEW, write_address};
use super::parse::{Parameter, USER, UnverifiedToken};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::failure::{Class, Failure, quoted};
use crate::name::{AccessKeyId, DbUser};
use crate::sigv4::{CanonicalHash, EMPTY_PAYLOAD, KeyCache, encode};
use crate::timestamp::rfc3339;

/// Status of an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum KeyStatus {
    /// The key may be used.
    Active,
    /// The key is deactivated.
    Inactive,
}

/// A token that names the endpoint and the user. Its signature has not been verified.
#[derive(Debug)]
pub struct AddressedToken<'a> {
    token: UnverifiedToken<'a>,
    pub(super) endpoint: Endpoint,
    user: DbUser,
}

/// A token that was signed with the secret key for this endpoint and user, and that is currently
/// valid.
#[derive(Debug)]
pub struct VerifiedToken {
    access_key_id: AccessKeyId,
    endpoint: Endpoint,
    user: DbUser,
    date: SystemTime,
}

impl VerifiedToken {
    /// The access key that signed the token.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The endpoint that the token is signed for.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The database user that the token is signed for.
    #[must_use]
    pub const fn user(&self) -> &DbUser {
        &self.user
    }

    /// The time of minting.
    #[must_use]
    pub const fn date(&self) -> SystemTime {
        self.date
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Checks that the token is for one of the `endpoints` of a database and for `user`.
    ///
    /// # Errors
    /// Those of [`UnverifiedToken::check`], then [`Class::WrongRegion`], [`Class::WrongHost`],
    /// [`Class::WrongPort`] and [`Class::WrongUser`], in this order.
    pub fn addressed_to(
        self,
        endpoints: &[Endpoint],
        user: &DbUser,
    ) -> Result<AddressedToken<'a>, Failure> {
        self.check()?;
        let region = self.scope.region;
        let here = || endpoints.iter().filter(|endpoint| endpoint.region.as_str() == region);
        let named = || here().filter(|endpoint| same_host(endpoint.host.as_str(), self.host));
        let Some(endpoint) = named().find(|endpoint| Some(endpoint.port) == self.port) else {
            return Err(if here().next().is_none() {
                let expected = listed(endpoints.iter().map(|endpoint| endpoint.region.to_string()));
                Failure::new(
                    Class::WrongRegion,
                    format!(
                        "token is signed for the region {}, but the database is in {expected}",
                        quoted(region)
                    ),
                )
            } else if named().next().is_none() {
                let expected = listed(here().map(|endpoint| endpoint.host.to_string()));
                Failure::new(
                    Class::WrongHost,
                    format!(
                        "token is signed for the host {}, but the database is {expected}",
                        quoted(self.host)
                    ),
                )
            } else {
                let expected = listed(named().map(|endpoint| endpoint.port.to_string()));
                let port = self.port.unwrap_or_default();
                Failure::new(
                    Class::WrongPort,
                    format!(
                        "token is signed for port {port}, but the database listens on {expected}"
                    ),
                )
            });
        };
        if self.user() != Some(user.as_str()) {
            let claimed = self.user().unwrap_or_default();
            return Err(Failure::new(
                Class::WrongUser,
                format!(
                    "token is signed for the user {}, but the login is for {}",
                    quoted(claimed),
                    quoted(user.as_str())
                ),
            ));
        }
        let endpoint = endpoint.clone();
        Ok(AddressedToken { token: self, endpoint, user: user.clone() })
    }
}

impl UnverifiedToken<'_> {
    /// Checks that `now` is within the validity that the token claims.
    ///
    /// # Errors
    /// [`Class::NotYetValid`], [`Class::Expired`].
    pub fn current(&self, now: SystemTime) -> Result<(), Failure> {
        let date = self.date();
        let end = date + self.expires;
        if date > now + CLOCK_SKEW {
            let detail = format!(
                "token is dated {}, but the local clock is at {}",
                rfc3339(date),
                rfc3339(now)
            );
            return Err(Failure::new(Class::NotYetValid, detail));
        }
        if now > end {
            let detail = format!(
                "token expired at {}, and the local clock is at {}; mint a token for each login",
                rfc3339(end),
                rfc3339(now)
            );
            return Err(Failure::new(Class::Expired, detail));
        }
        Ok(())
    }
}

/// Compares DNS names, ignoring case and a final dot.
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
    /// The access key to verify the token with.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.token.access_key_id
    }

    /// The session token in the token.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        self.token.session_token.as_deref()
    }

    /// Returns the failure for a temporary key without session token.
    #[must_use]
    pub fn without_session(&self) -> Failure {
        let id = self.access_key_id();
        Failure::new(
            Class::SessionTokenMissing,
            format!("{id} is a temporary key; set its session token (AWS_SESSION_TOKEN) too"),
        )
    }

    /// Verifies the token with its access key: status, session token, signature, then dates.
    ///
    /// # Errors
    /// [`Class::UnknownKey`] if `key` is another one, [`Class::InactiveKey`],
    /// [`Class::SessionTokenMissing`], [`Class::SessionTokenWrong`], [`Class::SignatureMismatch`],
    /// [`Class::NotYetValid`], [`Class::Expired`], [`Class::SessionExpired`].
    pub fn verify(
        self,
        key: &Credentials,
        status: KeyStatus,
        keys: &KeyCache,
        now: SystemTime,
    ) -> Result<VerifiedToken, Failure> {
        let id = &self.token.access_key_id;
        if key.access_key_id != *id {
            return Err(Failure::new(
                Class::UnknownKey,
                format!("token is signed with {id}, not with {}", key.access_key_id),
            ));
        }
        if status == KeyStatus::Inactive {
            return Err(Failure::new(
                Class::InactiveKey,
                format!("access key {id} is inactive; activate it, or sign with another"),
            ));
        }
        self.check_session(key)?;
        if !self.signed_by(&key.secret, keys) {
            let cause = "it was made with another secret key, or the token was changed in transit \
                         (truncated, or unescaped twice)";
            return Err(Failure::new(
                Class::SignatureMismatch,
                format!("signature does not match the access key {id}: {cause}"),
            ));
        }
        self.check_times(key, now)?;
        let date = self.token.date();
        Ok(VerifiedToken {
            access_key_id: self.token.access_key_id,
            endpoint: self.endpoint,
            user: self.user,
            date,
        })
    }

    fn check_session(&self, key: &Credentials) -> Result<(), Failure> {
        let id = &key.access_key_id;
        match (&key.session_token, &self.token.session_token) {
            (None, None) => Ok(()),
            (Some(expected), Some(given)) if expected.ct_eq(given) => Ok(()),
            (Some(_), Some(_)) => Err(Failure::new(
                Class::SessionTokenWrong,
                format!("session token of the token is not that of {id}"),
            )),
            (Some(_), None) => Err(self.without_session()),
            (None, Some(_)) => Err(Failure::new(
                Class::SessionTokenWrong,
                format!(
                    "{id} is a long-term key, which has no session token; unset AWS_SESSION_TOKEN"
                ),
            )),
        }
    }

    fn check_times(&self, key: &Credentials, now: SystemTime) -> Result<(), Failure> {
        self.token.current(now)?;
        match key.expires {
            Some(ends) if now >= ends => Err(Failure::new(
                Class::SessionExpired,
                format!("session of {} expired at {}", key.access_key_id, rfc3339(ends)),
            )),
            _ => Ok(()),
        }
    }

    /// Returns true if the signature was made with `secret` over a canonical request of any SDK.
    fn signed_by(&self, secret: &Secret, keys: &KeyCache) -> bool {
        let scope = self.token.scope;
        let key = keys.key(self.token.access_key_id.as_str(), secret, &scope);
        let request = self.hash_query(PlusSign::Literal);
        let signed = |request: &CanonicalHash, host: &str| {
            let mut hash = request.clone();
            for part in ["\nhost:", host, "\n\nhost\n", EMPTY_PAYLOAD] {
                hash.update(part);
            }
            key.sign(&self.token.stamp, &scope, hash).ct_eq(&self.token.signature)
        };
        // Computes one variant at a time, because the first nearly always matches.
        if self.signed_hosts().any(|host| signed(&request, &host)) {
            return true;
        }
        if !self
            .token
            .parameters
            .iter()
            .any(|parameter| parameter.name == USER && parameter.value.contains('+'))
        {
            return false;
        }
        let request = self.hash_query(PlusSign::Space);
        self.signed_hosts().any(|host| signed(&request, &host))
    }

    /// Hosts that SDKs may sign for this token: as written, in lower case, and as configured; for
    /// port 443 with and without the port.
    fn signed_hosts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (printed, configured, port) =
            (self.token.host, self.endpoint.host.as_str(), self.endpoint.port);
        let spellings =
            [(printed, false), (printed, true), (configured, false), (configured, true)];
        let spelled = spellings.into_iter().map(move |(host, lower)| {
            let mut address = String::with_capacity(host.len() + 8);
            write_address(&mut address, host, port);
            if lower {
                address.make_ascii_lowercase();
            }
            address.into()
        });
        std::iter::once(Cow::Borrowed(self.token.address)).chain(spelled).flat_map(
            |address: Cow<'_, str>| {
                let portless = address.strip_suffix(":443").map(|host| Cow::Owned(host.to_owned()));
                std::iter::once(address).chain(portless)
            },
        )
    }

    /// Starts the hash of a canonical request with the sorted parameters, encoded again if
    /// necessary.
    fn hash_query(&self, plus: PlusSign) -> CanonicalHash {
        let mut hash = CanonicalHash::default();
        let mut before = "GET\n/\n";
        let mut parameters = self.token.parameters.iter().peekable();
        while let Some(Parameter { name, value, range, canonical }) = parameters.next() {
            hash.update(before);
            before = "&";
            if *canonical {
                // Includes the parameters that follow it in the token in the same order.
                let mut end = range.end;
                while let Some(next) =
                    parameters.next_if(|next| next.canonical && next.range.start == end + "&".len())
                {
                    end = next.range.end;
                }
                hash.update(self.token.query.get(range.start..end).unwrap_or_default());
                continue;
            }
            let mut pair = recoded(name, PlusSign::Literal);
            pair.push('=');
            pair.push_str(&recoded(value, if *name == USER { plus } else { PlusSign::Literal }));
            hash.update(&pair);
        }
        hash
    }
}

/// Meaning of a `+` in the database user. It is a plus; but aws-sdk-rds (Rust) does not escape the
/// user and then signs a `+` in it as a space. That variant is accepted too, so a token signed for
/// the user `a b` is also valid for `a+b`, if its principal may log in as `a+b`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlusSign {
    Literal,
    Space,
}

fn recoded(text: &str, plus: PlusSign) -> String {
    let text = if plus == PlusSign::Space {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    let mut out = String::with_capacity(3 * text.len());
    encode::encode(&mut out, &encode::decode(&text).unwrap_or(Cow::Borrowed(&text)));
    out
}
