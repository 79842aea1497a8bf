//! `KILL`, which names a session by the connection ID that its client received from the proxy.

use std::ops::Range;

use crate::mysql::Capabilities;
use crate::mysql::codec::{self, HEADER, command};
use crate::sql;

/// Maximum length of a packet that is scanned for a `KILL`, in bytes. The statement is short, and
/// so are comments before it.
pub(super) const MAX_KILL: usize = 1024;

/// Termination of a session or of its statement, requested by another session: `KILL [HARD | SOFT]
/// [CONNECTION | QUERY] n` after white space and comments, or `COM_PROCESS_KILL`.
///
/// Not recognised, and so forwarded unchanged: a `KILL` after other statements, of an expression or
/// of a user, and one with query attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Connection ID in the command.
    pub connection_id: u64,
    /// Length of the packet with its header.
    pub length: usize,
    operand: Operand,
}

/// Position of the connection ID in the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Digits(Range<usize>),
    /// The four bytes after the command.
    Binary,
}

impl Kill {
    /// Parses the payload of a `COM_QUERY` or a `COM_PROCESS_KILL`.
    pub(super) fn find(payload: &[u8], capabilities: Capabilities) -> Option<Self> {
        let length = HEADER + payload.len();
        let (command, mut sql) = payload.split_first()?;
        if *command == command::PROCESS_KILL {
            let connection_id = u32::from_le_bytes(sql.try_into().ok()?).into();
            return Some(Self { connection_id, length, operand: Operand::Binary });
        }
        if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
            sql = sql.strip_prefix(&[0, 1])?;
        }
        let operand = sql::kill_operand(sql)?;
        let start = payload.len() - operand.len();
        let count = operand.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = operand.split_at_checked(count)?;
        let connection_id = str::from_utf8(digits).ok()?.parse().ok()?;
        let is_end = rest.trim_ascii_start().first().is_none_or(|byte| *byte == b';');
        let operand = Operand::Digits(start..start + count);
        is_end.then_some(Self { connection_id, length, operand })
    }

    /// Returns the packet with another connection ID.
    #[must_use]
    pub fn with_connection_id(&self, packet: &[u8], connection_id: u32) -> Vec<u8> {
        let payload = packet.get(HEADER..).unwrap_or_default();
        match &self.operand {
            Operand::Binary => codec::packet(
                0,
                &[&[command::PROCESS_KILL], connection_id.to_le_bytes().as_slice()].concat(),
            ),
            Operand::Digits(digits) => {
                let before = payload.get(..digits.start).unwrap_or_default();
                let after = payload.get(digits.end..).unwrap_or_default();
                codec::packet(0, &[before, connection_id.to_string().as_bytes(), after].concat())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(command: u8, rest: &[u8]) -> Vec<u8> {
        codec::packet(0, &[&[command], rest].concat())
    }

    #[test]
    fn query_with_kill_is_recognised() {
        for (sql, connection_id) in [
            ("KILL 17", Some("17")),
            ("kill query 5;", Some("5")),
            (" \n/* a */ -- b\n# c\nKill Connection\t4294967295 ; ", Some("4294967295")),
            ("KILL HARD QUERY 1", Some("1")),
            ("KILL QUERY ID 3", None),
            ("KILL USER joe", None),
            ("KILL 1+1", None),
            ("KILL 5; DROP TABLE t", Some("5")),
            ("KILL5", None),
            ("KILL", None),
            ("KILL 99999999999999999999999", None),
            ("/*! KILL 5 */", None),
            ("SELECT 'KILL 5'", None),
            ("/* KILL 5", None),
        ] {
            let attributes = Capabilities::QUERY_ATTRIBUTES;
            for (capabilities, prefix) in
                [(Capabilities::NONE, b"".as_slice()), (attributes, &[0, 1])]
            {
                let query = |sql: &str| packet(command::QUERY, &[prefix, sql.as_bytes()].concat());
                let kill = Kill::find(&query(sql)[HEADER..], capabilities);
                let found = kill.as_ref().map(|kill| kill.connection_id.to_string());
                assert_eq!(found.as_deref(), connection_id, "{sql}");
                if let (Some(kill), Some(connection_id)) = (kill, connection_id) {
                    assert_eq!(kill.length, query(sql).len());
                    let expected = query(&sql.replace(connection_id, "123"));
                    assert_eq!(kill.with_connection_id(&query(sql), 123), expected);
                }
            }
        }
    }

    #[test]
    fn process_kill_is_recognised() {
        let kill = packet(command::PROCESS_KILL, &[7, 0, 0, 0]);
        let found = Kill::find(&kill[HEADER..], Capabilities::NONE).unwrap();
        assert_eq!(found.connection_id, 7);
        let expected = packet(command::PROCESS_KILL, &[2, 1, 0, 0]);
        assert_eq!(found.with_connection_id(&kill, 258), expected);
    }
}
