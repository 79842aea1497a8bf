//! OpenID Connect: tokens of identity providers, which `AssumeRoleWithWebIdentity` accepts, and
//! tokens that the authority issues itself, like a Kubernetes cluster for its service accounts.
//!
//! Path of an external token: [`jwt::parse`] → issuer and key id, unverified →
//! [`discovery::IssuerKeyCache::keys`] → [`jwt::UnverifiedJwt::verify`] → [`jwt::Claims`]. There is
//! no other way to get claims. The location of the key follows from the registered issuer, never
//! from the token.

pub mod discovery;
pub mod fetch;
pub mod issuer_key;
pub mod jwk;
pub mod jwt;
use serde_json::{Map, Value};

/// Parses a JSON object; returns `None` for other JSON and for duplicate keys at any depth. Of two
/// equal keys one parser keeps the last and another the first, so one program could check a
/// different value than the other uses.
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(text).ok()?;
    match countersign_core::json::parse_value(text, text.len()).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::object;

    #[test]
    fn an_object_is_parsed_whole() {
        let text = r#"{"a": [1, -2, 3.5, "x", true, null, {"b": {}}], "c": "\u00e9"}"#;
        assert_eq!(
            object(text.as_bytes()).map(Into::into),
            serde_json::from_str::<serde_json::Value>(text).ok()
        );
    }

    #[test]
    fn duplicate_keys_are_rejected_at_any_depth() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"x": [{"a": 1, "b": 2, "a": 3}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn everything_but_objects_is_rejected() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        for text in [
            "",
            "{",
            "[]",
            "\"a\"",
            "null",
            "{} {}",
            "{}x",
            r#"{"a": 1,}"#,
            "{'a': 1}",
            "{\"a\": NaN}",
            &deep,
        ] {
            assert_eq!(object(text.as_bytes()), None);
        }
        assert_eq!(object(b"{\"a\": \"\xff\"}"), None);
    }
}
