use proptest::prelude::*;

use super::*;
use crate::mysql::codec::{self, HEADER, MAX_LOGIN_PACKET, MAX_PAYLOAD, command, packet};
use crate::mysql::response::error_packet;

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NEW: Capabilities = Capabilities::PROTOCOL_41.with(Capabilities::DEPRECATE_EOF);

fn request(command: u8, rest: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], rest].concat())
}

fn ping() -> Vec<u8> {
    request(command::PING, &[])
}

fn ok(status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    packet(1, &[0, 1, 0, low, high, 0, 0])
}

/// Returns the packet that ends rows.
fn end(capabilities: Capabilities, status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    let new = capabilities.has(Capabilities::DEPRECATE_EOF);
    packet(9, &[0xfe, 0, 0, low, high, 0, 0][..if new { 7 } else { 5 }])
}

/// Returns the packet that ends column definitions, if the capabilities have one.
fn columns_eof(capabilities: Capabilities, status: u16) -> Vec<u8> {
    if capabilities.has(Capabilities::DEPRECATE_EOF) {
        Vec::new()
    } else {
        end(capabilities, status)
    }
}

fn column() -> Vec<u8> {
    packet(2, b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0")
}

/// Returns a result of two columns: definitions, rows and their end.
fn rows_of(capabilities: Capabilities, rows: &[&[u8]], status: u16) -> Vec<u8> {
    let mut bytes = [packet(1, &[2]), column(), column()].concat();
    bytes.extend(columns_eof(capabilities, 2));
    rows.iter().for_each(|row| bytes.extend(packet(7, row)));
    bytes.extend(end(capabilities, status));
    bytes
}

fn error() -> Vec<u8> {
    error_packet(
        1,
        1064,
        "42000",
        "You have an error in your SQL syntax",
        Capabilities::PROTOCOL_41,
    )
}

type CommandAndResponse = (Vec<u8>, Vec<u8>);

/// Returns commands with their complete responses.
fn commands(capabilities: Capabilities) -> Vec<CommandAndResponse> {
    [queries(capabilities), statements(capabilities), utilities(capabilities)].concat()
}

fn queries(capabilities: Capabilities) -> Vec<CommandAndResponse> {
    let query = |sql: &[u8], response: Vec<u8>| (request(command::QUERY, sql), response);
    let rows = |rows: &[&[u8]], status| rows_of(capabilities, rows, status);
    let row: &[u8] = b"\x01a\x01b";
    let columns = packet(1, &[2]).len() + 2 * column().len();
    let interrupted =
        [&rows(&[row], 2)[..columns], &columns_eof(capabilities, 0x42), &error()].concat();
    let results = [rows(&[row], 10), ok(10), rows(&[], 10), ok(2)].concat();
    let progress = packet(1, b"\xff\xff\xff\x01\x01\x03\x00\x00\x00\x03abc");
    vec![
        query(b"DO 1", ok(2)),
        query(b"oops", error()),
        query(b"SELECT", rows(&[row, b"\xfb\xfb", b"\x00\x00"], 2)),
        query(b"SELECT", rows(&[], 2)),
        // An empty packet, and a row whose length is the marker of an EOF packet.
        query(b"SELECT", rows(&[b"", &[b'x'; 0xfe]], 2)),
        query(&[b' '; 70_000], rows(&[&[b'x'; 9000]], 2)),
        query(b"rows that an error ends", interrupted),
        query(b"CALL p()", results),
        query(b"a; b", [ok(10), error()].concat()),
        query(b"ALTER", [progress, ok(2)].concat()),
    ]
}

fn statements(capabilities: Capabilities) -> Vec<CommandAndResponse> {
    let prepare = |sql: &[u8], response| (request(command::STMT_PREPARE, sql), response);
    let execute =
        |response| (request(command::STMT_EXECUTE, &[1, 0, 0, 0, 0, 1, 0, 0, 0]), response);
    let fetch = |response| (request(command::STMT_FETCH, &[1, 0, 0, 0, 5, 0, 0, 0]), response);
    let definitions =
        |count| [vec![column(); count].concat(), columns_eof(capabilities, 2)].concat();
    let new = capabilities.has(Capabilities::DEPRECATE_EOF);
    // No rows follow the columns.
    let cursor = [
        packet(1, &[2]),
        column(),
        column(),
        columns_eof(capabilities, 0x42),
        if new { end(capabilities, 0x42) } else { Vec::new() },
    ];
    let head = packet(1, &[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0]);
    vec![
        prepare(b"DO 1", packet(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        prepare(b"SELECT ?", [head, definitions(2), definitions(1)].concat()),
        prepare(b"oops", error()),
        execute(rows_of(capabilities, &[b"\0\0\x01a\x01b", b"\0\xfc"], 2)),
        execute(ok(3)),
        execute(cursor.concat()),
        fetch([packet(1, b"\0\0\x01a\x01b"), end(capabilities, 0x82)].concat()),
        fetch(end(capabilities, 0x82)),
        (request(command::STMT_CLOSE, &[1, 0, 0, 0]), Vec::new()),
        (request(command::STMT_SEND_LONG_DATA, &[1, 0, 0, 0, 0, 0, b'x']), Vec::new()),
    ]
}

fn utilities(capabilities: Capabilities) -> Vec<CommandAndResponse> {
    let fields = [column(), column(), end(capabilities, 2)].concat();
    vec![
        (ping(), ok(2)),
        (request(command::INIT_DB, b"db"), error()),
        (request(command::SET_OPTION, &[0, 0]), end(capabilities, 2)),
        (request(command::STATISTICS, b""), packet(1, b"Uptime: 5")),
        (request(command::FIELD_LIST, b"t\0"), fields),
        (request(command::RESET_CONNECTION, b""), ok(2)),
    ]
}

/// Passes a client's bytes in parts of this length, and returns the forwarded ones.
fn send(tracker: &mut SessionTracker, bytes: &[u8], chunk: usize) -> (Vec<u8>, Next) {
    let (mut held, mut sent) = (Vec::new(), Vec::new());
    for part in bytes.chunks(chunk) {
        held.extend_from_slice(part);
        let plan = tracker.observe_client(&held).unwrap();
        sent.extend(held.drain(..plan.forward));
        if plan.then != Next::More {
            return (sent, plan.then);
        }
    }
    assert!(held.is_empty(), "{held:?}");
    (sent, Next::More)
}

#[test]
fn session_is_idle_exactly_after_a_complete_response() {
    for capabilities in [OLD, NEW] {
        for (request, response) in commands(capabilities) {
            for chunk in [1, 2, 3, 7, usize::MAX] {
                let mut tracker = SessionTracker::new(capabilities, 2);
                assert!(tracker.is_idle());
                assert_eq!(send(&mut tracker, &request, chunk), (request.clone(), Next::More));
                for (at, part) in response.chunks(chunk).enumerate() {
                    assert!(!tracker.is_idle(), "{request:?} idle at {at} of {chunk}");
                    tracker.observe_server(part);
                }
                assert!(tracker.is_idle(), "{request:?} not idle, {tracker:?}");
            }
        }
    }
}

#[test]
fn commands_may_be_pipelined() {
    for capabilities in [OLD, NEW] {
        let (requests, responses): (Vec<_>, Vec<_>) = commands(capabilities).into_iter().unzip();
        let (requests, responses) = (requests.concat(), responses.concat());
        for chunk in [1, 11, usize::MAX] {
            let mut tracker = SessionTracker::new(capabilities, 2);
            assert_eq!(send(&mut tracker, &requests, chunk), (requests.clone(), Next::More));
            responses.chunks(chunk).for_each(|part| tracker.observe_server(part));
            assert!(tracker.is_idle());
        }
    }
}

#[test]
fn status_is_that_of_the_last_response() {
    let mut tracker = SessionTracker::new(NEW, 2);
    assert_eq!(tracker.status(), Some(2));
    send(&mut tracker, &request(command::QUERY, b"BEGIN"), 9);
    tracker.observe_server(&ok(3));
    assert_eq!(tracker.status(), Some(3));
    send(&mut tracker, &request(command::QUERY, b"oops"), 9);
    tracker.observe_server(&error());
    assert_eq!(tracker.status(), None);
    send(&mut tracker, &request(command::QUERY, b"SELECT"), 9);
    tracker.observe_server(&rows_of(NEW, &[b"\x01a\x01b"], 0x21));
    assert_eq!(tracker.status(), Some(0x21));
}

#[test]
fn column_definitions_may_be_omitted() {
    for (more, old) in
        [(Capabilities::OPTIONAL_METADATA, false), (Capabilities::CACHE_METADATA, true)]
    {
        for capabilities in [NEW.with(more), OLD.with(more)] {
            for described in [0_u8, 1] {
                let mut response = packet(1, &[2, described]);
                response.extend(vec![column(); 2 * usize::from(described)].concat());
                response.extend(columns_eof(capabilities, 2));
                response.extend([packet(5, b"\0\0\x01a\x01b"), end(capabilities, 2)].concat());
                let mut tracker = SessionTracker::new(capabilities, 2);
                send(&mut tracker, &request(command::STMT_EXECUTE, &[0; 9]), 9);
                tracker.observe_server(&response[..response.len() - 1]);
                assert!(!tracker.is_idle());
                tracker.observe_server(&response[response.len() - 1..]);
                assert!(tracker.is_idle(), "{old} {described}");
            }
        }
    }
}

#[test]
fn uploaded_file_ends_with_an_empty_packet() {
    for chunk in [1, 4, usize::MAX] {
        let mut tracker = SessionTracker::new(NEW, 2);
        send(&mut tracker, &request(command::QUERY, b"LOAD DATA LOCAL"), chunk);
        tracker.observe_server(&packet(1, b"\xfbfile.csv"));
        // Its content may look like commands.
        let file = [packet(2, &[command::QUIT]), packet(0, &[command::CHANGE_USER; 99])].concat();
        assert_eq!(send(&mut tracker, &file, chunk), (file.clone(), Next::More));
        assert!(!tracker.is_idle());
        send(&mut tracker, &packet(4, b""), chunk);
        assert!(!tracker.is_idle());
        tracker.observe_server(&ok(2));
        assert!(tracker.is_idle());
        assert_eq!(send(&mut tracker, &codec::quit(), chunk), (Vec::new(), Next::Quit));
        assert!(tracker.has_quit_idle());
    }
}

#[test]
fn payload_of_16_mib_continues_in_the_next_packet() {
    let long =
        [b"\xff\xff\xff\x00".as_slice(), &[command::QUERY], &vec![b' '; MAX_PAYLOAD - 1]].concat();
    let mut tracker = SessionTracker::new(NEW, 2);
    // The continuation looks like a COM_QUIT.
    for part in [long.as_slice(), b"\x01\0\0\x01\x01"] {
        assert_eq!(send(&mut tracker, part, 1 << 20).1, Next::More);
    }
    let value = [b"\xff\xff\xff\x07".as_slice(), b"\xfe", &vec![b'x'; MAX_PAYLOAD - 1]].concat();
    let body = rows_of(NEW, &[], 2);
    let (columns, last) = body.split_at(body.len() - end(NEW, 2).len());
    for part in [columns, &value, b"\x07\0\0\x08", &end(NEW, 0)[4..], last] {
        assert!(!tracker.is_idle());
        tracker.observe_server(part);
    }
    assert!(tracker.is_idle());
}

#[test]
fn quit_is_detected_at_its_first_byte_and_not_forwarded() {
    let mut tracker = SessionTracker::new(NEW, 2);
    let bytes = [ping(), codec::quit(), ping()].concat();
    assert_eq!(
        tracker.observe_client(&bytes[..9]).unwrap(),
        ForwardPlan { forward: 5, then: Next::More }
    );
    assert_eq!(
        tracker.observe_client(&bytes[5..10]).unwrap(),
        ForwardPlan { forward: 0, then: Next::Quit }
    );
    assert!(!tracker.has_quit_idle());
    tracker.observe_server(&ok(2));
    assert!(tracker.has_quit_idle() && !tracker.is_idle());
    assert_eq!(
        tracker.observe_client(b"more").unwrap(),
        ForwardPlan { forward: 0, then: Next::Quit }
    );
}

#[test]
fn change_user_is_intercepted_when_complete() {
    let change = request(command::CHANGE_USER, b"joe\0\0\0");
    let mut tracker = SessionTracker::new(NEW, 2);
    let bytes = [ping(), change.clone()].concat();
    for cut in 10..bytes.len() {
        assert_eq!(
            SessionTracker::new(NEW, 2).observe_client(&bytes[..cut]).unwrap(),
            ForwardPlan { forward: 5, then: Next::More }
        );
    }
    let plan = tracker.observe_client(&bytes).unwrap();
    assert_eq!(plan, ForwardPlan { forward: 5, then: Next::ChangeUser { length: change.len() } });
    tracker.observe_server(&ok(2));
    assert!(tracker.is_idle());
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET + 1).unwrap().to_le_bytes();
    assert!(tracker.observe_client(&[a, b, c, 0, command::CHANGE_USER]).is_err());
}

#[test]
fn kill_is_intercepted_and_gets_a_response() {
    for kill in
        [request(command::QUERY, b"KILL 17"), request(command::PROCESS_KILL, &[17, 0, 0, 0])]
    {
        for chunk in [1, 3, usize::MAX] {
            let mut tracker = SessionTracker::new(NEW, 2);
            let (sent, Next::Kill(found)) = send(&mut tracker, &kill, chunk) else { panic!() };
            assert_eq!((found.connection_id, found.length, sent.len()), (17, kill.len(), 0));
            assert!(!tracker.is_idle());
            tracker.observe_server(&ok(2));
            assert!(tracker.is_idle());
        }
    }
    let select = request(command::QUERY, b"SELECT 'KILL 5'");
    let mut tracker = SessionTracker::new(NEW, 2);
    assert_eq!(send(&mut tracker, &select, 3), (select, Next::More));
}

#[test]
fn unknown_packets_are_forwarded_and_never_idle() {
    assert!(SessionTracker::new(NEW.with(Capabilities::COMPRESS), 2).is_desynced());
    assert!(SessionTracker::new(NEW.with(Capabilities::ZSTD), 2).is_desynced());
    // COM_BINLOG_DUMP, an unknown command, a wrong sequence number, an empty packet.
    for request in
        [request(0x12, &[0; 10]), request(0x77, b""), packet(1, &[command::PING]), packet(0, b"")]
    {
        let mut tracker = SessionTracker::new(NEW, 2);
        assert_eq!(
            send(&mut tracker, &[request.clone(), codec::quit()].concat(), usize::MAX),
            ([request, codec::quit()].concat(), Next::More)
        );
        tracker.observe_server(&ok(2));
        assert!(tracker.is_desynced() && !tracker.is_idle() && !tracker.has_quit_idle());
    }
    // An unsolicited response, and invalid ones.
    let mut tracker = SessionTracker::new(NEW, 2);
    tracker.observe_server(&error());
    assert!(tracker.is_desynced());
    for response in [packet(1, b""), packet(1, b"\xfc"), packet(1, b"\xfe"), packet(1, &[0])] {
        let mut tracker = SessionTracker::new(NEW, 2);
        send(&mut tracker, &request(command::QUERY, b"x"), 9);
        tracker.observe_server(&response);
        assert!(tracker.is_desynced(), "{response:?}");
    }
    let mut tracker = SessionTracker::new(NEW, 2);
    send(&mut tracker, &ping().repeat(MAX_PENDING + 1), usize::MAX);
    assert!(tracker.is_desynced());
}

proptest! {
    #[test]
    fn splitting_the_input_changes_nothing(
        requests: Vec<u8>,
        responses: Vec<u8>,
        known in 0..26_usize,
        chunk in 1..9_usize,
        new: bool,
    ) {
        let capabilities = if new { NEW } else { OLD };
        let (request, response) = commands(capabilities).swap_remove(known);
        let (requests, responses) = ([request, requests].concat(), [response, responses].concat());
        let run = |chunk: usize| {
            let mut tracker = SessionTracker::new(capabilities, 2);
            let (mut held, mut sent, mut last) = (Vec::new(), Vec::new(), Next::More);
            for part in requests.chunks(chunk) {
                held.extend_from_slice(part);
                let Ok(plan) = tracker.observe_client(&held) else { return None };
                sent.extend(held.drain(..plan.forward));
                last = plan.then;
                if last != Next::More { break }
            }
            responses.chunks(chunk).for_each(|part| tracker.observe_server(part));
            let state = (
                tracker.is_idle(),
                tracker.has_quit_idle(),
                tracker.is_desynced(),
                tracker.status(),
            );
            Some((sent, last, state))
        };
        prop_assert_eq!(run(chunk), run(usize::MAX));
    }
}

#[test]
fn tracker_is_small() {
    assert!(size_of::<SessionTracker>() <= 160, "{}", size_of::<SessionTracker>());
    assert_eq!(HEADER, 4);
}
