use proptest::prelude::*;

use super::*;

#[test]
fn packets_start_with_length_and_sequence_number() {
    assert_eq!(quit(), [1, 0, 0, 0, 1]);
    assert_eq!(reset_connection(), [1, 0, 0, 0, 31]);
    assert_eq!(init_db("db"), b"\x03\0\0\0\x02db");
    assert_eq!(query("DO 1", super::super::Capabilities::NONE), b"\x05\0\0\0\x03DO 1");
    assert_eq!(
        query("DO 1", super::super::Capabilities::QUERY_ATTRIBUTES),
        b"\x07\0\0\0\x03\0\x01DO 1"
    );
    assert_eq!(packet(9, &[0; 300])[..4], [44, 1, 0, 9]);
}

fn buffer(bytes: &[u8]) -> ReadBuffer {
    let mut buffer = ReadBuffer::default();
    buffer.push(bytes);
    buffer
}

#[test]
fn packet_is_read_if_complete_in_order_and_short_enough() {
    let bytes = packet(2, b"abc");
    for cut in 0..bytes.len() {
        assert!(read_packet(&buffer(&bytes[..cut]), 2).unwrap().is_none());
    }
    assert_eq!(
        read_packet(&buffer(&[&bytes[..], b"more"].concat()), 2).unwrap(),
        Some((b"abc".as_slice(), 7))
    );
    assert!(read_packet(&buffer(&bytes), 3).is_err());
    // Rejected by its header.
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET + 1).unwrap().to_le_bytes();
    assert!(read_packet(&buffer(&[a, b, c, 0]), 0).is_err());
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET).unwrap().to_le_bytes();
    assert!(read_packet(&buffer(&[a, b, c, 0]), 0).unwrap().is_none());
}

#[test]
fn integers_match_the_manual() {
    for (value, bytes) in [
        (250, vec![250]),
        (251, vec![0xfc, 251, 0]),
        (0xffff, vec![0xfc, 0xff, 0xff]),
        (0x1_0000, vec![0xfd, 0, 0, 1]),
        (0x100_0000, vec![0xfe, 0, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        let mut encoded = Vec::new();
        put_integer(&mut encoded, value);
        assert_eq!(encoded, bytes);
        assert_eq!(Fields(&bytes).integer(), Some(value));
    }
    assert_eq!(Fields(&[0xfb]).integer(), None);
    assert_eq!(Fields(&[0xff]).integer(), None);
    assert_eq!(Fields(&[0xfc, 1]).integer(), None);
}

proptest! {
    #[test]
    fn encoded_fields_are_parsed(value: u64, string: Vec<u8>) {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, value);
        put_string(&mut bytes, &string);
        let mut fields = Fields(&bytes);
        prop_assert_eq!(fields.integer(), Some(value));
        prop_assert_eq!(fields.string(), Some(string.as_slice()));
        prop_assert!(fields.0.is_empty());
    }
}
