//! Messages to the verifier's LDAP listener.

use countersign_authority::ldap::codec;

/// Parses the head of a message, and the whole message.
pub fn ldap(data: &[u8]) {
    // The codec must not read past the input, whatever length the message claims.
    let _head = codec::head(data);
    let _message = codec::parse(data);
}
