//! What a server, or whoever reaches its port, says to the LDAP front.

use countersign_authority::ldap::codec;

/// Reads the head of a message, and its body.
pub fn ldap(data: &[u8]) {
    // Whatever is said of the length, the codec reads what is there and no more.
    let _head = codec::head(data);
    let _message = codec::parse(data);
}
