//! From a token that claims to one that is proven: address, key, signature, time.

use std::borrow::Cow;
use std::time::SystemTime;

use super::parse::{Parameter, USER};
use super::{CLOCK_SKEW, UnverifiedToken, write_address};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::failure::{Class, Failure, quoted};
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
                        "it is signed for the region {}, the database is in {expected}",
                        quoted(region)
                    ),
                )
            } else if named().next().is_none() {
                let expected = listed(here().map(|endpoint| endpoint.host.to_string()));
                Failure::new(
                    Class::WrongHost,
                    format!(
                        "it is signed for the host {}, the database is {expected}",
                        quoted(self.host)
                    ),
                )
            } else {
                let expected = listed(named().map(|endpoint| endpoint.port.to_string()));
                let port = self.port.unwrap_or_default();
                Failure::new(
                    Class::WrongPort,
                    format!("it is signed for port {port}, the database listens on {expected}"),
                )
            });
        };
        if self.user() != Some(user.as_str()) {
            let claimed = self.user().unwrap_or_default();
            return Err(Failure::new(
                Class::WrongUser,
                format!(
                    "it is signed for the user {}, the login is as {}",
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
    /// Whether `now` lies within what the token claims of itself.
    ///
    /// # Errors
    /// [`Class::NotYetValid`], [`Class::Expired`].
    pub fn current(&self, now: SystemTime) -> Result<(), Failure> {
        let date = self.date();
        let end = date + self.expires;
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

    /// The session token that came with it.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        self.token.session_token.as_deref()
    }

    /// The failure of a token whose key is temporary, where it came without the session's token.
    #[must_use]
    pub fn without_session(&self) -> Failure {
        let id = self.access_key_id();
        Failure::new(
            Class::SessionTokenMissing,
            format!("{id} is a temporary key: pass its session token (AWS_SESSION_TOKEN) too"),
        )
    }

    /// Checks the token against the key that it names: status, session token, signature, then the times.
    ///
    /// # Errors
    /// [`Class::UnknownKey`] where `key` is another one, [`Class::InactiveKey`], [`Class::SessionTokenMissing`],
    /// [`Class::SessionTokenWrong`], [`Class::SignatureMismatch`], [`Class::NotYetValid`], [`Class::Expired`],
    /// [`Class::SessionExpired`].
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
                format!("it is signed with {id}, not with {}", key.access_key_id),
            ));
        }
        if status == KeyStatus::Inactive {
            return Err(Failure::new(
                Class::InactiveKey,
                format!("the access key {id} is inactive; activate it, or sign with another"),
            ));
        }
        self.check_session(key)?;
        if !self.signed_by(&key.secret, keys) {
            let why = "another secret key signed it, or it was changed on the way (cut off, or unescaped twice)";
            return Err(Failure::new(
                Class::SignatureMismatch,
                format!("the signature is not that of the access key {id}: {why}"),
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
                format!("its session token is not that of {id}"),
            )),
            (Some(_), None) => Err(self.without_session()),
            (None, Some(_)) => Err(Failure::new(
                Class::SessionTokenWrong,
                format!("{id} is a long-term key, which has no session token"),
            )),
        }
    }

    fn check_times(&self, key: &Credentials, now: SystemTime) -> Result<(), Failure> {
        self.token.current(now)?;
        match key.expires {
            Some(ends) if now >= ends => Err(Failure::new(
                Class::SessionExpired,
                format!("the session of {} ended at {}", key.access_key_id, rfc3339(ends)),
            )),
            _ => Ok(()),
        }
    }

    /// Whether `secret` made the signature over any of the spellings that SDKs sign.
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
        // One spelling at a time: the first is nearly always the one.
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

    /// The hosts that SDKs sign for this token: as printed, in lower case, and as configured; on port 443 with and without it.
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

    /// Begins a request with the parameters as SigV4 signs them: escaped afresh, sorted by name.
    fn hash_query(&self, plus: PlusSign) -> CanonicalHash {
        let mut hash = CanonicalHash::default();
        let mut before = "GET\n/\n";
        let mut parameters = self.token.parameters.iter().peekable();
        while let Some(Parameter { name, value, place, canonical }) = parameters.next() {
            hash.update(before);
            before = "&";
            if *canonical {
                // With those that stand behind it in the token as they do here.
                let mut end = place.end;
                while let Some(next) =
                    parameters.next_if(|next| next.canonical && next.place.start == end + "&".len())
                {
                    end = next.place.end;
                }
                hash.update(self.token.query.get(place.start..end).unwrap_or_default());
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

/// What a `+` in the database user stands for. It is a plus; but the Rust SDK leaves the user unescaped, and then signs a
/// `+` in it as a space. That spelling is tried too, so a token that was signed for the user `a b` does for `a+b` as well,
/// where its principal may log in as `a+b`.
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
