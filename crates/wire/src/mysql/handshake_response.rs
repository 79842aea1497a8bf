//! Login messages of the client: `HandshakeResponse41`, `SSLRequest` and `COM_CHANGE_USER`.

use std::fmt;

use zeroize::Zeroizing;

use crate::exchange::ProtocolError;

use super::Capabilities;
use super::codec::{self, Fields, MAX_ATTRIBUTES, MAX_NAME, MAX_PROOF, command};

/// Length of an `SSLRequest` payload, in bytes. `HandshakeResponse41` starts with the same fields.
pub(super) const SSL_REQUEST_LEN: usize = 32;

/// Connection attributes that differ between processes of one program: process ID, thread ID, and
/// the host name that the client connected to.
const PROCESS_ATTRIBUTES: [&[u8]; 3] = [b"_pid", b"_thread", b"_server_host"];

/// Default of a client's `max_allowed_packet`, in bytes (libmysql's).
const MAX_PACKET: u32 = 1 << 24;

/// Collation `utf8mb4_general_ci`, which all servers support.
pub const UTF8MB4: u16 = 45;

/// Connection attributes: names and values in their order.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Parameters of a session. Equal parameters request equal sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoginParams {
    /// User name.
    pub user: String,
    /// Default database.
    pub database: Option<String>,
    /// Requested capabilities that can be forwarded ([`Capabilities::FORWARDED`]).
    pub capabilities: Capabilities,
    /// Collation ID of the client. A login contains only its low byte, a change of the user all of
    /// it.
    pub collation: u16,
    /// Maximum length of a packet that the client accepts, in bytes.
    pub max_packet: u32,
    /// Connection attributes.
    pub attributes: Attributes,
    /// Compression level of zstd, if requested.
    pub zstd_level: Option<u8>,
}

impl LoginParams {
    /// Creates parameters for the proxy's own sessions, with capabilities that all servers have.
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

    /// Returns the parameters without the attributes that differ between processes of one program:
    /// `_pid`, `_thread` and `_server_host`. Clients with equal keys can share a session.
    #[must_use]
    pub fn pool_key(&self) -> Self {
        let mut key = self.clone();
        key.attributes.retain(|(name, _)| !PROCESS_ATTRIBUTES.contains(&name.as_slice()));
        key
    }
}

/// Parsed `HandshakeResponse41` or `COM_CHANGE_USER`.
pub(super) struct HandshakeResponse {
    pub(super) params: LoginParams,
    /// All capabilities of the client.
    pub(super) capabilities: Capabilities,
    pub(super) proof: Zeroizing<Vec<u8>>,
    /// Plugin of the proof, if the client names one.
    pub(super) plugin: Option<String>,
}

/// Omits the proof, which may be a password in clear text.
impl fmt::Debug for HandshakeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeResponse")
            .field("params", &self.params)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

/// Returns the capabilities in the first packet of a client.
pub(super) fn client_capabilities(payload: &[u8]) -> Option<Capabilities> {
    let mut fields = Fields(payload);
    let mysql = fields.u32()?;
    fields.bytes(SSL_REQUEST_LEN - 8)?;
    let mariadb = fields.u32()?;
    let is_mysql = Capabilities::new(mysql, 0).has(Capabilities::MYSQL);
    Some(Capabilities::new(mysql, if is_mysql { 0 } else { mariadb }))
}

impl HandshakeResponse {
    /// Parses a `HandshakeResponse41` of a client that was offered these capabilities.
    pub(super) fn parse(payload: &[u8], offered: Capabilities) -> Result<Self, Malformed> {
        let client = client_capabilities(payload).ok_or(Malformed::Layout)?;
        let agreed = client & offered;
        let mut fields = Fields(payload);
        let (max_packet, collation) = (|| {
            fields.u32()?;
            let found = (fields.u32()?, fields.u8()?);
            fields.bytes(SSL_REQUEST_LEN - 9)?;
            Some(found)
        })()
        .ok_or(Malformed::Layout)?;
        let user = name(fields.cstr().ok_or(Malformed::Layout)?)?;
        let proof = if client.has(Capabilities::PLUGIN_AUTH_LENENC) {
            fields.string()
        } else if client.has(Capabilities::SECURE_CONNECTION) {
            short_string(&mut fields)
        } else {
            fields.cstr()
        };
        let proof = proof.filter(|proof| proof.len() <= MAX_PROOF).ok_or(Malformed::Layout)?;
        let database = if client.has(Capabilities::CONNECT_WITH_DB) {
            name(fields.cstr_or_rest())?
        } else {
            String::new()
        };
        let plugin = plugin(&mut fields, client)?;
        let attributes = if client.has(Capabilities::CONNECT_ATTRS) {
            attributes(&mut fields)?
        } else {
            Vec::new()
        };
        let zstd_level = if agreed.has(Capabilities::ZSTD) { fields.u8() } else { None };
        let params = LoginParams {
            user,
            database: Some(database).filter(|name| !name.is_empty()),
            capabilities: (agreed & Capabilities::FORWARDED).with(Capabilities::PROTOCOL_41),
            collation: collation.into(),
            max_packet,
            attributes,
            zstd_level,
        };
        Ok(Self { params, capabilities: agreed, proof: Zeroizing::new(proof.to_vec()), plugin })
    }

    /// Parses a `COM_CHANGE_USER` in a session that was opened with `current`. Missing values are
    /// unchanged.
    pub(super) fn parse_change_user(
        payload: &[u8],
        current: &LoginParams,
    ) -> Result<Self, Malformed> {
        // All clients with a session support authentication plugins.
        let client = current.capabilities | Capabilities::LOGIN;
        let mut fields =
            Fields(payload.strip_prefix(&[command::CHANGE_USER]).ok_or(Malformed::Layout)?);
        let user = name(fields.cstr().ok_or(Malformed::Layout)?)?;
        let proof = short_string(&mut fields).ok_or(Malformed::Layout)?;
        let database = name(fields.cstr_or_rest())?;
        let collation = if fields.0.is_empty() {
            current.collation
        } else {
            fields.u16().ok_or(Malformed::Layout)?
        };
        let plugin = plugin(&mut fields, client)?;
        let attributes = match client.has(Capabilities::CONNECT_ATTRS) && !fields.0.is_empty() {
            true => attributes(&mut fields)?,
            false => current.attributes.clone(),
        };
        let params = LoginParams {
            user,
            database: Some(database).filter(|name| !name.is_empty()),
            collation,
            attributes,
            ..current.clone()
        };
        Ok(Self { params, capabilities: client, proof: Zeroizing::new(proof.to_vec()), plugin })
    }
}

/// Reason to reject a login packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It ends too early, or a field is too long.
    Layout,
    /// A name is not UTF-8.
    Encoding,
}

fn short_string<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = fields.u8()?;
    fields.bytes(length.into())
}

fn name(bytes: &[u8]) -> Result<String, Malformed> {
    if bytes.len() > MAX_NAME {
        return Err(Malformed::Layout);
    }
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed::Encoding)
}

/// Reads the plugin name. Some older clients set the capability and omit the name, which servers
/// accept.
fn plugin(fields: &mut Fields<'_>, client: Capabilities) -> Result<Option<String>, Malformed> {
    if !client.has(Capabilities::PLUGIN_AUTH) {
        return Ok(None);
    }
    Ok(Some(name(fields.cstr_or_rest())?).filter(|plugin| !plugin.is_empty()))
}

fn attributes(fields: &mut Fields<'_>) -> Result<Attributes, Malformed> {
    if fields.0.is_empty() {
        return Ok(Vec::new());
    }
    let all = fields.string().filter(|all| all.len() <= MAX_ATTRIBUTES).ok_or(Malformed::Layout)?;
    let mut fields = Fields(all);
    let mut attributes = Vec::new();
    while !fields.0.is_empty() {
        let pair =
            fields.string().and_then(|name| Some((name.to_vec(), fields.string()?.to_vec())));
        attributes.push(pair.ok_or(Malformed::Layout)?);
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

/// Encodes the fields that `SSLRequest` and `HandshakeResponse41` have in common.
fn common_fields(
    params: &LoginParams,
    capabilities: Capabilities,
) -> Result<Vec<u8>, ProtocolError> {
    let collation = u8::try_from(params.collation).map_err(|_| {
        ProtocolError::unsupported(format!(
            "cannot log in with collation {}: its ID exceeds 255; use SET NAMES after the login",
            params.collation
        ))
    })?;
    let mut payload = capabilities.mysql().to_le_bytes().to_vec();
    payload.extend(params.max_packet.to_le_bytes());
    payload.push(collation);
    payload.extend([0; 19]);
    payload.extend(capabilities.mariadb().to_le_bytes());
    Ok(payload)
}

/// Encodes `SSLRequest`.
pub(super) fn ssl_request(
    params: &LoginParams,
    capabilities: Capabilities,
) -> Result<Vec<u8>, ProtocolError> {
    common_fields(params, capabilities)
}

/// Encodes `HandshakeResponse41`.
pub(super) fn encode(
    params: &LoginParams,
    capabilities: Capabilities,
    plugin: &str,
    proof: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ProtocolError> {
    let start = common_fields(params, capabilities)?;
    let attributes =
        params.attributes.iter().map(|(name, value)| name.len() + value.len() + 18).sum::<usize>();
    // A reallocation would leave an unwiped copy, so the capacity is sufficient from the start.
    let mut payload =
        Zeroizing::new(Vec::with_capacity(start.len() + proof.len() + attributes + 4 * MAX_NAME));
    payload.extend(start);
    codec::put_cstr(&mut payload, &params.user);
    if capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
        codec::put_string(&mut payload, proof);
    } else {
        put_short_string(&mut payload, proof)?;
    }
    if capabilities.has(Capabilities::CONNECT_WITH_DB) {
        codec::put_cstr(&mut payload, params.database.as_deref().unwrap_or_default());
    }
    if capabilities.has(Capabilities::PLUGIN_AUTH) {
        codec::put_cstr(&mut payload, plugin);
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) {
        put_attributes(&mut payload, &params.attributes);
    }
    if let Some(level) = params.zstd_level.filter(|_| capabilities.has(Capabilities::ZSTD)) {
        payload.push(level);
    }
    Ok(payload)
}

/// Encodes `COM_CHANGE_USER` in a session with these capabilities. It has no proof, so the server
/// sends an auth switch request.
pub(super) fn encode_change_user(
    params: &LoginParams,
    capabilities: Capabilities,
    plugin: &str,
) -> Vec<u8> {
    let mut payload = vec![command::CHANGE_USER];
    codec::put_cstr(&mut payload, &params.user);
    payload.push(0);
    codec::put_cstr(&mut payload, params.database.as_deref().unwrap_or_default());
    payload.extend(params.collation.to_le_bytes());
    if capabilities.has(Capabilities::PLUGIN_AUTH) {
        codec::put_cstr(&mut payload, plugin);
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) {
        put_attributes(&mut payload, &params.attributes);
    }
    payload
}

fn put_short_string(payload: &mut Vec<u8>, proof: &[u8]) -> Result<(), ProtocolError> {
    let length = u8::try_from(proof.len()).map_err(|_| {
        ProtocolError::unsupported(
            "cannot send a proof longer than 255 bytes, such as a token: upgrade the server",
        )
    })?;
    payload.push(length);
    payload.extend_from_slice(proof);
    Ok(())
}

#[cfg(test)]
mod tests;
