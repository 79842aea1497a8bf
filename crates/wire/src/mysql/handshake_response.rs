//! What a client asks for when it logs in: `HandshakeResponse41`, and `COM_CHANGE_USER`.

use std::fmt;

use zeroize::Zeroizing;

use crate::exchange::ProtocolError;

use super::Capabilities;
use super::codec::{self, Fields, MAX_ATTRIBUTES, MAX_NAME, MAX_PROOF, command};

/// What a packet that asks for TLS holds behind its header, in bytes; a login begins with the same.
pub(super) const TLS_REQUEST: usize = 32;

/// Attributes that tell one process of a program from the other, or the names it reaches us by: the process's and thread's
/// number, and the host that the client thinks it is talking to.
const OF_ONE_PROCESS: [&[u8]; 3] = [b"_pid", b"_thread", b"_server_host"];

/// The most that a client takes in one packet where nothing else is said, in bytes (libmysql's own).
const MAX_PACKET: u32 = 1 << 24;

/// `utf8mb4_general_ci`, which all servers know.
pub const UTF8MB4: u16 = 45;

/// Connection attributes: names and values, in their order.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// What a session is asked for: two that are equal ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoginParams {
    /// Who logs in.
    pub user: String,
    /// Which database is the default.
    pub database: Option<String>,
    /// What the client can do, of what it was offered and is carried ([`Capabilities::CARRIED`]).
    pub capabilities: Capabilities,
    /// The number of the client's collation. A login has room for its low byte alone, a change of the user for all of it.
    pub collation: u16,
    /// The longest packet that the client takes, in bytes.
    pub max_packet: u32,
    /// What the client says of itself.
    pub attributes: Attributes,
    /// How hard zstd tries, where it is wished for.
    pub zstd_level: Option<u8>,
}

impl LoginParams {
    /// A session for ourselves: statements of SQL, and nothing that a server may not have.
    #[must_use]
    pub fn new(user: impl Into<String>, database: Option<String>) -> Self {
        Self {
            user: user.into(),
            database,
            capabilities: Capabilities::PROTOCOL_41
                | Capabilities::LONG_FLAG
                | Capabilities::TRANSACTIONS,
            collation: UTF8MB4,
            max_packet: MAX_PACKET,
            attributes: Vec::new(),
            zstd_level: None,
        }
    }

    /// The same without what tells processes of one program apart: `_pid`, `_thread` and `_server_host` of the attributes. A
    /// session that was opened for one of them serves the others.
    #[must_use]
    pub fn pool_key(&self) -> Self {
        let mut key = self.clone();
        key.attributes.retain(|(name, _)| !OF_ONE_PROCESS.contains(&name.as_slice()));
        key
    }
}

/// A wish as it came, with the proof that came along.
pub(super) struct HandshakeResponse {
    pub(super) wish: LoginParams,
    /// All that the client says it can do.
    pub(super) capabilities: Capabilities,
    pub(super) proof: Zeroizing<Vec<u8>>,
    /// The proof's plugin, where the client names one.
    pub(super) plugin: Option<String>,
}

/// The proof may be a password as it is.
impl fmt::Debug for HandshakeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("wish", &self.wish)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

/// What the first packet of a client says it can do.
pub(super) fn capabilities_of(payload: &[u8]) -> Option<Capabilities> {
    let mut fields = Fields(payload);
    let mysql = fields.u32()?;
    fields.bytes(TLS_REQUEST - 8)?;
    let mariadb = fields.u32()?;
    let is_mysql = Capabilities::new(mysql, 0).has(Capabilities::MYSQL);
    Some(Capabilities::new(mysql, if is_mysql { 0 } else { mariadb }))
}

impl HandshakeResponse {
    /// From a `HandshakeResponse41`, to whom these capabilities were offered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(payload: &[u8], offered: Capabilities) -> Result<Self, Malformed> {
        let said = capabilities_of(payload).ok_or(Malformed::Short)?;
        let spoken = said & offered;
        let mut fields = Fields(payload);
        let (max_packet, collation) = (|| {
            fields.u32()?;
            let found = (fields.u32()?, fields.u8()?);
            fields.bytes(TLS_REQUEST - 9)?;
            Some(found)
        })()
        .ok_or(Malformed::Short)?;
        let user = name(fields.text().ok_or(Malformed::Short)?)?;
        let proof = if said.has(Capabilities::PLUGIN_AUTH_LENENC) {
            fields.string()
        } else if said.has(Capabilities::SECURE_CONNECTION) {
            short_string(&mut fields)
        } else {
            fields.text()
        };
        let proof = proof.filter(|proof| proof.len() <= MAX_PROOF).ok_or(Malformed::Short)?;
        let database = if said.has(Capabilities::CONNECT_WITH_DB) {
            name(fields.text_or_rest())?
        } else {
            String::new()
        };
        let plugin = plugin(&mut fields, said)?;
        let attributes = if said.has(Capabilities::CONNECT_ATTRS) {
            attributes(&mut fields)?
        } else {
            Vec::new()
        };
        let zstd_level = if spoken.has(Capabilities::ZSTD) { fields.u8() } else { None };
        let wish = LoginParams {
            user,
            database: Some(database).filter(|name| !name.is_empty()),
            capabilities: (spoken & Capabilities::FORWARDED).with(Capabilities::PROTOCOL_41),
            collation: collation.into(),
            max_packet,
            attributes,
            zstd_level,
        };
        Ok(Self { wish, capabilities: spoken, proof: Zeroizing::new(proof.to_vec()), plugin })
    }

    /// From a `COM_CHANGE_USER` in a session that was opened for `before`: what it doesn't say stays as it was.
    pub(super) fn parse_change(payload: &[u8], before: &LoginParams) -> Result<Self, Malformed> {
        // All that come this far log in by plugins.
        let said = before.capabilities | Capabilities::LOGIN;
        let mut fields =
            Fields(payload.strip_prefix(&[command::CHANGE_USER]).ok_or(Malformed::Short)?);
        let user = name(fields.text().ok_or(Malformed::Short)?)?;
        let proof = short_string(&mut fields).ok_or(Malformed::Short)?;
        let database = name(fields.text_or_rest())?;
        let collation = if fields.0.is_empty() {
            before.collation
        } else {
            fields.u16().ok_or(Malformed::Short)?
        };
        let plugin = plugin(&mut fields, said)?;
        let attributes = match said.has(Capabilities::CONNECT_ATTRS) && !fields.0.is_empty() {
            true => attributes(&mut fields)?,
            false => before.attributes.clone(),
        };
        let wish = LoginParams {
            user,
            database: Some(database).filter(|name| !name.is_empty()),
            collation,
            attributes,
            ..before.clone()
        };
        Ok(Self { wish, capabilities: said, proof: Zeroizing::new(proof.to_vec()), plugin })
    }
}

/// What is wrong with a login's packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It ends too early, or something in it is too long.
    Short,
    /// A name isn't UTF-8.
    Text,
}

fn short_string<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = fields.u8()?;
    fields.bytes(length.into())
}

fn name(bytes: &[u8]) -> Result<String, Malformed> {
    if bytes.len() > MAX_NAME {
        return Err(Malformed::Short);
    }
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed::Text)
}

/// Older clients say they name one and don't; a server lets them.
fn plugin(fields: &mut Fields<'_>, said: Capabilities) -> Result<Option<String>, Malformed> {
    if !said.has(Capabilities::PLUGIN_AUTH) {
        return Ok(None);
    }
    Ok(Some(name(fields.text_or_rest())?).filter(|plugin| !plugin.is_empty()))
}

fn attributes(fields: &mut Fields<'_>) -> Result<Attributes, Malformed> {
    if fields.0.is_empty() {
        return Ok(Vec::new());
    }
    let all = fields.string().filter(|all| all.len() <= MAX_ATTRIBUTES).ok_or(Malformed::Short)?;
    let mut fields = Fields(all);
    let mut attributes = Vec::new();
    while !fields.0.is_empty() {
        let pair =
            fields.string().and_then(|name| Some((name.to_vec(), fields.string()?.to_vec())));
        attributes.push(pair.ok_or(Malformed::Short)?);
    }
    Ok(attributes)
}

fn put_attributes(payload: &mut Vec<u8>, attributes: &[(Vec<u8>, Vec<u8>)]) {
    let mut all = Vec::new();
    for (name, value) in attributes {
        codec::put_string(&mut all, name);
        codec::put_string(&mut all, value);
    }
    codec::put_string(payload, &all);
}

/// What a login and its request for TLS begin with alike.
fn head(wish: &LoginParams, capabilities: Capabilities) -> Result<Vec<u8>, ProtocolError> {
    let collation = u8::try_from(wish.collation).map_err(|_| {
        let number = wish.collation;
        ProtocolError::unsupported(format!("a login has no room for the collation {number}, whose number is over 255: SET NAMES behind it"))
    })?;
    let mut payload = capabilities.mysql().to_le_bytes().to_vec();
    payload.extend(wish.max_packet.to_le_bytes());
    payload.push(collation);
    payload.extend([0; 19]);
    payload.extend(capabilities.mariadb().to_le_bytes());
    Ok(payload)
}

/// `SSLRequest`.
pub(super) fn tls_request(
    wish: &LoginParams,
    capabilities: Capabilities,
) -> Result<Vec<u8>, ProtocolError> {
    head(wish, capabilities)
}

/// `HandshakeResponse41`.
pub(super) fn response(
    wish: &LoginParams,
    capabilities: Capabilities,
    plugin: &str,
    proof: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ProtocolError> {
    let start = head(wish, capabilities)?;
    let attributes =
        wish.attributes.iter().map(|(name, value)| name.len() + value.len() + 18).sum::<usize>();
    // Made large enough at once: what is moved is not wiped where it was.
    let mut payload =
        Zeroizing::new(Vec::with_capacity(start.len() + proof.len() + attributes + 4 * MAX_NAME));
    payload.extend(start);
    codec::put_text(&mut payload, &wish.user);
    if capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
        codec::put_string(&mut payload, proof);
    } else {
        put_short_string(&mut payload, proof)?;
    }
    if capabilities.has(Capabilities::CONNECT_WITH_DB) {
        codec::put_text(&mut payload, wish.database.as_deref().unwrap_or_default());
    }
    if capabilities.has(Capabilities::PLUGIN_AUTH) {
        codec::put_text(&mut payload, plugin);
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) {
        put_attributes(&mut payload, &wish.attributes);
    }
    if let Some(level) = wish.zstd_level.filter(|_| capabilities.has(Capabilities::ZSTD)) {
        payload.push(level);
    }
    Ok(payload)
}

/// `COM_CHANGE_USER` in a session with these capabilities, with no proof: the server has to ask for one.
pub(super) fn change(wish: &LoginParams, capabilities: Capabilities, plugin: &str) -> Vec<u8> {
    let mut payload = vec![command::CHANGE_USER];
    codec::put_text(&mut payload, &wish.user);
    payload.push(0);
    codec::put_text(&mut payload, wish.database.as_deref().unwrap_or_default());
    payload.extend(wish.collation.to_le_bytes());
    if capabilities.has(Capabilities::PLUGIN_AUTH) {
        codec::put_text(&mut payload, plugin);
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) {
        put_attributes(&mut payload, &wish.attributes);
    }
    payload
}

fn put_short_string(payload: &mut Vec<u8>, proof: &[u8]) -> Result<(), ProtocolError> {
    let length = u8::try_from(proof.len()).map_err(|_| {
        ProtocolError::unsupported(
            "the server takes no proof that is longer than 255 bytes: it is too old for tokens",
        )
    })?;
    payload.push(length);
    payload.extend_from_slice(proof);
    Ok(())
}

#[cfg(test)]
mod tests;
