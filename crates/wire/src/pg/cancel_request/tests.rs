use super::CancelRequest;
use crate::exchange::{Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::pg::CancelKey;
use crate::read_buffer::ReadBuffer;

fn key() -> CancelKey {
    CancelKey { process: 7, secret: vec![1, 2, 3, 4] }
}

const REQUEST: [u8; 16] = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4];

#[test]
fn without_tls_the_request_is_all_there_is() {
    let step = CancelRequest::new(key(), TransportSecurity::Plain { trusted: false }, false)
        .advance(&mut ReadBuffer::default())
        .unwrap();
    assert!(matches!(step, Step::Done(bytes, ()) if bytes == REQUEST));
}

#[test]
fn with_tls_the_key_goes_out_within_it_only() {
    let mut inbox = ReadBuffer::default();
    let Step::Write(bytes, recall) =
        CancelRequest::new(key(), TransportSecurity::Required, false).advance(&mut inbox).unwrap()
    else {
        panic!()
    };
    assert_eq!(*bytes, [0, 0, 0, 8, 4, 210, 22, 47]);
    inbox.push(b"S");
    let Step::StartTls(bytes, secure) = recall.advance(&mut inbox).unwrap() else { panic!() };
    assert!(bytes.is_empty() && inbox.is_empty());
    let step = secure.established(TlsInfo::default()).advance(&mut inbox).unwrap();
    assert!(matches!(step, Step::Done(bytes, ()) if bytes == REQUEST));
}

#[test]
fn a_server_without_tls_is_sent_no_key() {
    for answer in [b"N".as_slice(), b"SX", b"E"] {
        let mut inbox = ReadBuffer::default();
        let Step::Write(_, recall) = CancelRequest::new(key(), TransportSecurity::Required, false)
            .advance(&mut inbox)
            .unwrap()
        else {
            panic!()
        };
        inbox.push(answer);
        assert!(matches!(recall.advance(&mut inbox), Err(ProtocolError::Unsupported { .. })));
    }
}
