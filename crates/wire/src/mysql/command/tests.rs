use super::{Command, CommandResult};
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::mysql::{Capabilities, codec, response};
use crate::read_buffer::ReadBuffer;

fn answered(
    capabilities: Capabilities,
    packets: &[&[u8]],
) -> Result<Option<String>, ProtocolError> {
    let mut inbox = ReadBuffer::default();
    let Step::Write(_, mut statement) =
        Command::query("SELECT 1", capabilities).advance(&mut inbox).unwrap()
    else {
        panic!()
    };
    let bytes: Vec<u8> = packets
        .iter()
        .zip(1..)
        .flat_map(|(payload, sequence)| codec::packet(sequence, payload))
        .collect();
    for byte in &bytes {
        statement = match statement.advance(&mut inbox)? {
            Step::Read(next) => next,
            step => panic!("{step:?}"),
        };
        inbox.push(&[*byte]);
    }
    match statement.advance(&mut inbox)? {
        Step::Done(_, CommandResult { value }) => Ok(value),
        step => panic!("{step:?}"),
    }
}

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

#[test]
fn the_first_column_of_the_first_row_is_the_answer() {
    let rows: [&[u8]; 6] = [&[1], b"a description", EOF, b"\x01 ", b"\x01x", EOF];
    assert_eq!(answered(OLD, &rows).unwrap().as_deref(), Some(" "));
    let new = OLD | Capabilities::DEPRECATE_EOF;
    let rows: [&[u8]; 4] = [&[1], b"a description", b"\x02ON", &[0xfe, 0, 0, 2, 0, 0, 0]];
    assert_eq!(answered(new, &rows).unwrap().as_deref(), Some("ON"));
    let optional = new | Capabilities::OPTIONAL_METADATA;
    let rows: [&[u8]; 3] = [&[1, 0], b"\x02ON", &[0xfe, 0, 0, 2, 0, 0, 0]];
    assert_eq!(answered(optional, &rows).unwrap().as_deref(), Some("ON"));
}

#[test]
fn an_ok_and_null_are_no_answer() {
    assert_eq!(answered(OLD, &[&[0, 0, 0, 2, 0, 0, 0]]).unwrap(), None);
    assert_eq!(answered(OLD, &[&[1], b"a description", EOF, &[0xfb], EOF]).unwrap(), None);
}

#[test]
fn a_mistake_is_a_fault() {
    let error = response::error_packet(1, 1193, "HY000", "Unknown system variable", OLD);
    assert!(
        matches!(answered(OLD, &[&error[4..]]), Err(ProtocolError::Refused(error)) if error.code == "1193 (HY000)")
    );
}
