use super::{QueryResult, SimpleQuery};
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::pg::codec;
use crate::read_buffer::ReadBuffer;

fn answered(bytes: &[u8]) -> Result<Step<SimpleQuery>, ProtocolError> {
    let mut inbox = ReadBuffer::default();
    let Step::Write(sent, statement) = SimpleQuery::new("SHOW x").advance(&mut inbox).unwrap()
    else {
        panic!()
    };
    assert_eq!(*sent, *b"Q\0\0\0\x0bSHOW x\0");
    let mut statement = statement;
    for byte in bytes {
        match statement.advance(&mut inbox)? {
            Step::Read(next) => statement = next,
            step => return Ok(step),
        }
        inbox.push(&[*byte]);
    }
    statement.advance(&mut inbox)
}

#[test]
fn the_first_column_of_the_first_row_is_the_answer() {
    let row =
        |value: &[u8]| codec::message(b'D', &[&[0, 1, 0, 0, 0, value.len() as u8], value].concat());
    let bytes = [
        codec::message(b'T', b"\0\x01"),
        row(b"on"),
        row(b"off"),
        codec::message(b'C', b"SHOW\0"),
        codec::ready_for_query(b'I'),
    ];
    let step = answered(&bytes.concat()).unwrap();
    assert!(matches!(step, Step::Done(_, QueryResult { value: Some(value) }) if value == "on"));
}

#[test]
fn no_row_and_null_are_no_answer() {
    let null = codec::message(b'D', &[0, 1, 255, 255, 255, 255]);
    for rows in [Vec::new(), null] {
        let step = answered(&[rows, codec::ready_for_query(b'I')].concat()).unwrap();
        assert!(matches!(step, Step::Done(_, QueryResult { value: None })));
    }
}

#[test]
fn a_mistake_and_a_transaction_left_open_are_faults() {
    let error = codec::error_response("ERROR", "42704", "no such setting", None, None);
    assert!(
        matches!(answered(&error), Err(ProtocolError::Refused(error)) if error.code == "42704")
    );
    assert!(matches!(answered(&codec::ready_for_query(b'T')), Err(ProtocolError::Protocol { .. })));
}
