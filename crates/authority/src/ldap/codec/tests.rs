use proptest::prelude::*;

use super::{
    Head, MAX_MESSAGE, Malformed, Message, MessageId, Reader, Request, ResponseTag, ResultCode,
    SEQUENCE, bind_response, head, notice_of_disconnection, other_response, parse, put,
    put_integer,
};

/// Encodes the body of a message with `id`.
fn body(id: u32, request: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_integer(&mut body, id);
    [&body, request, rest].concat()
}

fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    put(&mut value, tag, content);
    value
}

fn bind(version: u8, name: &[u8], method: u8, password: &[u8]) -> Vec<u8> {
    value(0x60, &[value(2, &[version]), value(4, name), value(method, password)].concat())
}

fn request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    parse(body).map(|message| message.request)
}

/// First message of `ldapwhoami -x -D cn=jane,dc=orders -w secret` of OpenLDAP 2.5, as captured.
const OPENLDAP_BIND: &[u8] =
    b"\x30\x23\x02\x01\x01\x60\x1e\x02\x01\x03\x04\x11cn=jane,dc=orders\x80\x06secret";

#[test]
fn openldaps_bind_is_parsed_and_its_debug_form_omits_the_password() {
    assert_eq!(head(OPENLDAP_BIND), Ok(Head::Whole(OPENLDAP_BIND.len() - 2)));
    let message = parse(&OPENLDAP_BIND[2..]).unwrap();
    assert_eq!(
        message,
        Message {
            id: MessageId(1),
            request: Request::Simple { name: b"cn=jane,dc=orders", password: b"secret" }
        }
    );
    assert!(!format!("{message:?}").contains("secret"));
}

#[test]
fn headers_are_read_incrementally_and_lengths_are_limited() {
    assert_eq!(head(b""), Ok(Head::Partial(2)));
    assert_eq!(head(b"\x30"), Ok(Head::Partial(1)));
    assert_eq!(head(b"\x30\x7f"), Ok(Head::Whole(127)));
    assert_eq!(head(b"\x30\x82\x01"), Ok(Head::Partial(1)));
    assert_eq!(head(b"\x30\x82\x01\x00"), Ok(Head::Whole(256)));
    // Active Directory's clients write each length in four bytes.
    assert_eq!(head(b"\x30\x84\x00\x00\x00\x0c"), Ok(Head::Whole(12)));
    assert_eq!(head(b"\x30\x83\x01\x03\xff"), Ok(Head::Whole(MAX_MESSAGE)));
    for refused in [
        &b"\x30\x83\x01\x04\x00"[..],
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80",
        b"\x30\x85",
        b"\x30\xff",
        b"\x16",
        b"GET /",
    ] {
        assert!(head(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn other_requests_are_recognised() {
    assert_eq!(request(&body(7, b"\x42\x00", b"")), Ok(Request::Unbind));
    assert_eq!(request(&body(7, b"\x50\x01\x06", b"")), Ok(Request::Abandon));
    for (tag, response) in [(0x63, 0x65), (0x4a, 0x6b), (0x77, 0x78)] {
        assert_eq!(
            request(&body(7, &value(tag, b"whatever"), b"")),
            Ok(Request::Other(ResponseTag(response)))
        );
    }
    // Responses and numbers are not requests.
    for tag in [0x61, 0x65, 0x02, 0x30] {
        assert!(request(&body(7, &value(tag, b""), b"")).is_err(), "{tag}");
    }
}

#[test]
fn other_binds_are_rejected_with_their_code() {
    let refused = |bytes: &[u8]| match request(&body(1, bytes, b"")).unwrap() {
        Request::Refused(code) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&bind(2, b"cn=jane,dc=orders", 0x80, b"secret")), ResultCode::ProtocolError);
    assert_eq!(
        refused(&bind(3, b"", 0xa3, &value(4, b"EXTERNAL"))),
        ResultCode::AuthMethodNotSupported
    );
    assert_eq!(
        refused(&bind(3, b"cn=jane,dc=orders", 0x81, b"secret")),
        ResultCode::AuthMethodNotSupported
    );
}

#[test]
fn critical_controls_are_rejected_and_others_are_ignored() {
    let bind = bind(3, b"cn=jane,dc=orders", 0x80, b"secret");
    let controls = |control: &[u8]| value(0xa0, &value(SEQUENCE, control));
    let with = |control: &[u8]| {
        request(&body(1, &bind, &controls(control)))
            .map(|request| matches!(request, Request::Simple { .. }))
    };
    let oid = value(4, b"1.3.6.1.4.1.42.2.27.8.5.1");
    assert_eq!(with(&oid), Ok(true));
    assert_eq!(with(&[oid.clone(), value(1, &[0])].concat()), Ok(true));
    assert_eq!(with(&[oid.clone(), value(4, b"value")].concat()), Ok(true));
    assert_eq!(with(&[oid.clone(), value(1, &[0xff]), value(4, b"value")].concat()), Ok(false));
    assert!(with(&[oid.clone(), value(1, &[1])].concat()).is_err());
    assert!(with(&[oid, value(4, b"value"), value(4, b"more")].concat()).is_err());
    assert_eq!(request(&body(1, b"\x42\x00", &controls(&value(4, b"1.2")))), Ok(Request::Unbind));
}

#[test]
fn truncated_and_malformed_messages_are_rejected() {
    let good = bind(3, b"cn=jane,dc=orders", 0x80, b"secret");
    let whole = body(1, &good, b"");
    assert!(parse(&whole).is_ok());
    for cut in 0..whole.len() {
        assert!(parse(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(parse(&body(0, &good, b"")).is_err());
    assert!(parse(&body(1, &good, b"\0")).is_err());
    for number in [
        &b"\x02\x00"[..],
        b"\x02\x01\x80",
        b"\x02\x02\x00\x01",
        b"\x02\x05\x00\x80\x00\x00\x00",
        b"\x01\x01\x01",
    ] {
        assert!(parse(&[number, &good].concat()).is_err(), "{number:?}");
    }
    assert!(parse(&body(1, &value(0x60, &[&good[2..], b"\x04\x00"].concat()), b"")).is_err());
    assert!(parse(&body(1, b"\x60\x80\x02\x01\x03\x04\x00\x80\x00\x00\x00", b"")).is_err());
    assert!(parse(&body(1, b"\x42\x01\x00", b"")).is_err());
}

#[test]
fn responses_are_encoded_as_rfc_4511_specifies() {
    assert_eq!(
        bind_response(MessageId(1), ResultCode::Success, ""),
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
    );
    assert_eq!(
        other_response(MessageId(0x80), ResponseTag(0x65), ResultCode::UnwillingToPerform, "no"),
        b"\x30\x0f\x02\x02\x00\x80\x65\x09\x0a\x01\x35\x04\x00\x04\x02no"
    );
    assert_eq!(
        notice_of_disconnection(ResultCode::ProtocolError, ""),
        b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x02\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036"
    );
}

proptest! {
    #[test]
    fn encoded_binds_are_parsed(
        id in 1..=i32::MAX as u32,
        name: Vec<u8>,
        length in 0_usize..70_000,
        byte: u8,
    ) {
        let password = vec![byte; length];
        let whole = value(SEQUENCE, &body(id, &bind(3, &name, 0x80, &password), b""));
        match head(&whole[..whole.len().min(6)]) {
            Ok(Head::Whole(length)) => {
                prop_assert!(length <= MAX_MESSAGE);
                let request = Request::Simple { name: &name, password: &password };
                let expected = Message { id: MessageId(id), request };
                prop_assert_eq!(parse(&whole[whole.len() - length..]), Ok(expected));
            }
            other => {
                prop_assert!(other.is_err());
                prop_assert!(whole.len() > MAX_MESSAGE);
            }
        }
    }

    #[test]
    fn encoded_numbers_are_parsed(number in 0..=i32::MAX as u32) {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, number);
        prop_assert_eq!(Reader(&bytes).integer(), Ok(number));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = head(&bytes);
        let _ = parse(&bytes);
    }

    #[test]
    fn changed_binds_do_not_panic(at in 0_usize..60, byte: u8) {
        let controls = value(0xa0, &value(SEQUENCE, &value(4, b"1.2")));
        let mut bytes = body(1, &bind(3, b"cn=jane,dc=orders", 0x80, b"secret"), &controls);
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        let _ = parse(&bytes);
    }
}
