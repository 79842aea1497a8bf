use proptest::prelude::*;

use super::*;

#[test]
fn packets_have_their_length_and_number_in_front() {
    assert_eq!(quit(), [1, 0, 0, 0, 1]);
    assert_eq!(ping(), [1, 0, 0, 0, 14]);
    assert_eq!(reset_connection(), [1, 0, 0, 0, 31]);
    assert_eq!(init_db("db"), b"\x03\0\0\0\x02db");
    assert_eq!(query("DO 1", super::super::Capabilities::NONE), b"\x05\0\0\0\x03DO 1");
    assert_eq!(
        query("DO 1", super::super::Capabilities::QUERY_ATTRIBUTES),
        b"\x07\0\0\0\x03\0\x01DO 1"
    );
    assert_eq!(packet(9, &[0; 300])[..4], [44, 1, 0, 9]);
}

fn inbox(bytes: &[u8]) -> ReadBuffer {
    let mut inbox = ReadBuffer::default();
    inbox.push(bytes);
    inbox
}

#[test]
fn a_packet_is_read_whole_in_turn_and_within_its_bound() {
    let bytes = packet(2, b"abc");
    for cut in 0..bytes.len() {
        assert!(read_packet(&inbox(&bytes[..cut]), 2).unwrap().is_none());
    }
    assert_eq!(
        read_packet(&inbox(&[&bytes[..], b"more"].concat()), 2).unwrap(),
        Some((b"abc".as_slice(), 7))
    );
    assert!(read_packet(&inbox(&bytes), 3).is_err());
    // Refused by its header: nothing is waited for, and nothing kept.
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET + 1).unwrap().to_le_bytes();
    assert!(read_packet(&inbox(&[a, b, c, 0]), 0).is_err());
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET).unwrap().to_le_bytes();
    assert!(read_packet(&inbox(&[a, b, c, 0]), 0).unwrap().is_none());
}

#[test]
fn integers_are_as_the_manual_has_them() {
    for (value, bytes) in [
        (250, vec![250]),
        (251, vec![0xfc, 251, 0]),
        (0xffff, vec![0xfc, 0xff, 0xff]),
        (0x1_0000, vec![0xfd, 0, 0, 1]),
        (0x100_0000, vec![0xfe, 0, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        let mut written = Vec::new();
        put_integer(&mut written, value);
        assert_eq!(written, bytes);
        assert_eq!(Fields(&bytes).integer(), Some(value));
    }
    assert_eq!(Fields(&[0xfb]).integer(), None);
    assert_eq!(Fields(&[0xff]).integer(), None);
    assert_eq!(Fields(&[0xfc, 1]).integer(), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(value: u64, string: Vec<u8>) {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, value);
        put_string(&mut bytes, &string);
        let mut fields = Fields(&bytes);
        prop_assert_eq!(fields.integer(), Some(value));
        prop_assert_eq!(fields.string(), Some(string.as_slice()));
        prop_assert!(fields.0.is_empty());
    }
}
