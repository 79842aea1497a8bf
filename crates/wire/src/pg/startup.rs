//! Content of a `StartupMessage`.

use super::codec;

/// Parameters of a session. Equal parameters request equal sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StartupParams {
    /// Minor protocol version: 0 or 2.
    pub minor: u16,
    /// User name.
    pub user: String,
    /// Database. `None` means the database named like the user.
    pub database: Option<String>,
    /// All other parameters in their order, except protocol options (`_pq_.`): `options`,
    /// `replication` and settings. If a name occurs twice, the server uses the last value.
    pub parameters: Vec<(String, String)>,
}

impl StartupParams {
    /// Returns true for a replication session, which cannot be pooled: parameter `replication` is
    /// set to a value that PostgreSQL does not parse as false.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        let set = self.parameters.iter().rev().find(|(name, _)| name == "replication");
        set.is_some_and(|(_, value)| !is_false(&value.to_ascii_lowercase()))
    }

    /// Encodes the `StartupMessage`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let database = self.database.as_deref().map(|database| ("database", database));
        let named = [("user", self.user.as_str())].into_iter().chain(database);
        let others = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut body = codec::version(self.minor).to_be_bytes().to_vec();
        for (name, value) in named.chain(others) {
            codec::put_cstr(&mut body, name);
            codec::put_cstr(&mut body, value);
        }
        body.push(0);
        codec::packet(&body)
    }
}

/// Parses like PostgreSQL's `parse_bool`, which accepts prefixes.
fn is_false(value: &str) -> bool {
    let is_prefix = |word: &str, least| value.len() >= least && word.starts_with(value);
    value == "0" || is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2)
}
