//! What a client asks for when it begins.

use super::codec;

/// A `StartupMessage`: two that are equal ask for the same session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StartupParams {
    /// The minor version that is spoken: 0 or 2.
    pub minor: u16,
    /// Who logs in.
    pub user: String,
    /// Which database, where it isn't the one named like the user.
    pub database: Option<String>,
    /// Everything else in its order, but the protocol's own options (`_pq_.`): `options`, `replication` and settings. Of a name
    /// that comes twice the server takes the last.
    pub parameters: Vec<(String, String)>,
}

impl StartupParams {
    /// Whether the session is a replication's, which is none to give to anybody else: `replication` is set, and not to what
    /// PostgreSQL reads as false.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        let set = self.parameters.iter().rev().find(|(name, _)| name == "replication");
        set.is_some_and(|(_, value)| !is_false(&value.to_ascii_lowercase()))
    }

    /// The message as it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let database = self.database.as_deref().map(|database| ("database", database));
        let own = [("user", self.user.as_str())].into_iter().chain(database);
        let others = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut body = codec::version(self.minor).to_be_bytes().to_vec();
        for (name, value) in own.chain(others) {
            codec::put_text(&mut body, name);
            codec::put_text(&mut body, value);
        }
        body.push(0);
        codec::packet(&body)
    }
}

/// As `parse_bool` has it, which takes beginnings of the words.
fn is_false(value: &str) -> bool {
    let begins = |word: &str, least| value.len() >= least && word.starts_with(value);
    value == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2)
}
