use proptest::prelude::*;

use super::*;
use crate::mysql::codec::{self, HEADER, MAX_LOGIN_PACKET, MAX_PAYLOAD, command, packet};
use crate::mysql::response::error_packet;

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NEW: Capabilities = Capabilities::PROTOCOL_41.with(Capabilities::DEPRECATE_EOF);

fn ask(command: u8, rest: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], rest].concat())
}

fn ok(status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    packet(1, &[0, 1, 0, low, high, 0, 0])
}

/// The end of rows, in the way of the capabilities.
fn end(capabilities: Capabilities, status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    let new = capabilities.has(Capabilities::DEPRECATE_EOF);
    packet(9, &[0xfe, 0, 0, low, high, 0, 0][..if new { 7 } else { 5 }])
}

fn column() -> Vec<u8> {
    packet(2, b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0")
}

/// Two columns, their EOF where there is one, these rows, and their end.
fn rows(capabilities: Capabilities, rows: &[&[u8]], status: u16) -> Vec<u8> {
    let mut bytes = [packet(1, &[2]), column(), column()].concat();
    if !capabilities.has(Capabilities::DEPRECATE_EOF) {
        bytes.extend(end(capabilities, 2));
    }
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

/// A command and its whole answer.
fn commands(capabilities: Capabilities) -> Vec<(Vec<u8>, Vec<u8>)> {
    let execute = ask(command::STMT_EXECUTE, &[1, 0, 0, 0, 0, 1, 0, 0, 0]);
    let described = |count: usize| {
        let eof = if capabilities.has(Capabilities::DEPRECATE_EOF) {
            Vec::new()
        } else {
            end(capabilities, 2)
        };
        [vec![column(); count].concat(), eof].concat()
    };
    let open = if capabilities.has(Capabilities::DEPRECATE_EOF) {
        end(capabilities, 0x42)
    } else {
        Vec::new()
    };
    let eof = if capabilities.has(Capabilities::DEPRECATE_EOF) {
        Vec::new()
    } else {
        end(capabilities, 0x42)
    };
    vec![
        (ask(command::QUERY, b"DO 1"), ok(2)),
        (ask(command::QUERY, b"oops"), error()),
        (
            ask(command::QUERY, b"SELECT"),
            rows(capabilities, &[b"\x01a\x01b", b"\xfb\xfb", b"\x00\x00"], 2),
        ),
        (ask(command::QUERY, b"SELECT"), rows(capabilities, &[], 2)),
        // An empty packet in front of the end, which begins with 0xfe where it is that long.
        (ask(command::QUERY, b"SELECT"), rows(capabilities, &[b"", &[b'x'; 0xfe]], 2)),
        (ask(command::QUERY, &[b' '; 70_000]), rows(capabilities, &[&[b'x'; 9000]], 2)),
        // Rows that break off.
        (
            ask(command::QUERY, b"SELECT"),
            [
                &rows(capabilities, &[b"\x01a\x01b"], 2)
                    [..packet(1, &[2]).len() + 2 * column().len()],
                &eof,
                &error(),
            ]
            .concat(),
        ),
        // More of everything.
        (
            ask(command::QUERY, b"CALL p()"),
            [rows(capabilities, &[b"\x01a\x01b"], 10), ok(10), rows(capabilities, &[], 10), ok(2)]
                .concat(),
        ),
        (ask(command::QUERY, b"a; b"), [ok(10), error()].concat()),
        // How far it is, of MariaDB.
        (
            ask(command::QUERY, b"ALTER"),
            [packet(1, b"\xff\xff\xff\x01\x01\x03\x00\x00\x00\x03abc"), ok(2)].concat(),
        ),
        (ask(command::PING, b""), ok(2)),
        (ask(command::INIT_DB, b"db"), error()),
        (ask(command::SET_OPTION, &[0, 0]), end(capabilities, 2)),
        (ask(command::STATISTICS, b""), packet(1, b"Uptime: 5")),
        (ask(command::FIELD_LIST, b"t\0"), [column(), column(), end(capabilities, 2)].concat()),
        (ask(command::STMT_PREPARE, b"DO 1"), packet(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        (
            ask(command::STMT_PREPARE, b"SELECT ?"),
            [packet(1, &[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0]), described(2), described(1)].concat(),
        ),
        (ask(command::STMT_PREPARE, b"oops"), error()),
        (execute.clone(), rows(capabilities, &[b"\0\0\x01a\x01b", b"\0\xfc"], 2)),
        (execute.clone(), ok(3)),
        // A cursor: no rows behind the columns.
        (execute, [packet(1, &[2]), column(), column(), eof, open].concat()),
        (
            ask(command::STMT_FETCH, &[1, 0, 0, 0, 5, 0, 0, 0]),
            [packet(1, b"\0\0\x01a\x01b"), end(capabilities, 0x82)].concat(),
        ),
        (ask(command::STMT_FETCH, &[1, 0, 0, 0, 5, 0, 0, 0]), end(capabilities, 0x82)),
        (ask(command::STMT_CLOSE, &[1, 0, 0, 0]), Vec::new()),
        (ask(command::STMT_SEND_LONG_DATA, &[1, 0, 0, 0, 0, 0, b'x']), Vec::new()),
        (ask(command::RESET_CONNECTION, b""), ok(2)),
    ]
}

/// Gives a dialogue what a client sends, in parts of this length, and gathers what goes on.
fn send(dialogue: &mut SessionTracker, bytes: &[u8], chunk: usize) -> (Vec<u8>, Next) {
    let (mut held, mut sent) = (Vec::new(), Vec::new());
    for part in bytes.chunks(chunk) {
        held.extend_from_slice(part);
        let passage = dialogue.requests(&held).unwrap();
        sent.extend(held.drain(..passage.forward));
        if passage.then != Next::More {
            return (sent, passage.then);
        }
    }
    assert!(held.is_empty(), "{held:?}");
    (sent, Next::More)
}

#[test]
fn every_answer_is_followed_to_its_end_and_no_farther() {
    for capabilities in [OLD, NEW] {
        for (request, answer) in commands(capabilities) {
            for chunk in [1, 2, 3, 7, usize::MAX] {
                let mut dialogue = SessionTracker::new(capabilities, 2);
                assert!(dialogue.is_idle());
                assert_eq!(send(&mut dialogue, &request, chunk), (request.clone(), Next::More));
                for (at, part) in answer.chunks(chunk).enumerate() {
                    assert!(!dialogue.is_idle(), "{request:?} idle at {at} of {chunk}");
                    dialogue.answers(part);
                }
                assert!(dialogue.is_idle(), "{request:?} not idle, {dialogue:?}");
            }
        }
    }
}

#[test]
fn commands_may_be_sent_ahead() {
    for capabilities in [OLD, NEW] {
        let (requests, answers): (Vec<_>, Vec<_>) = commands(capabilities).into_iter().unzip();
        let (requests, answers) = (requests.concat(), answers.concat());
        for chunk in [1, 11, usize::MAX] {
            let mut dialogue = SessionTracker::new(capabilities, 2);
            assert_eq!(send(&mut dialogue, &requests, chunk), (requests.clone(), Next::More));
            answers.chunks(chunk).for_each(|part| dialogue.answers(part));
            assert!(dialogue.is_idle());
        }
    }
}

#[test]
fn the_status_is_the_last_answers() {
    let mut dialogue = SessionTracker::new(NEW, 2);
    assert_eq!(dialogue.status(), Some(2));
    send(&mut dialogue, &ask(command::QUERY, b"BEGIN"), 9);
    dialogue.answers(&ok(3));
    assert_eq!(dialogue.status(), Some(3));
    send(&mut dialogue, &ask(command::QUERY, b"oops"), 9);
    dialogue.answers(&error());
    assert_eq!(dialogue.status(), None);
    send(&mut dialogue, &ask(command::QUERY, b"SELECT"), 9);
    dialogue.answers(&rows(NEW, &[b"\x01a\x01b"], 0x21));
    assert_eq!(dialogue.status(), Some(0x21));
}

#[test]
fn rows_may_have_no_descriptions() {
    for (more, old) in
        [(Capabilities::OPTIONAL_METADATA, false), (Capabilities::CACHE_METADATA, true)]
    {
        for capabilities in [NEW.with(more), OLD.with(more)] {
            for described in [0_u8, 1] {
                let mut answer = packet(1, &[2, described]);
                answer.extend(vec![column(); 2 * usize::from(described)].concat());
                if !capabilities.has(Capabilities::DEPRECATE_EOF) {
                    answer.extend(end(capabilities, 2));
                }
                answer.extend([packet(5, b"\0\0\x01a\x01b"), end(capabilities, 2)].concat());
                let mut dialogue = SessionTracker::new(capabilities, 2);
                send(&mut dialogue, &ask(command::STMT_EXECUTE, &[0; 9]), 9);
                dialogue.answers(&answer[..answer.len() - 1]);
                assert!(!dialogue.is_idle());
                dialogue.answers(&answer[answer.len() - 1..]);
                assert!(dialogue.is_idle(), "{old} {described}");
            }
        }
    }
}

#[test]
fn a_file_is_the_clients_until_its_empty_packet() {
    for chunk in [1, 4, usize::MAX] {
        let mut dialogue = SessionTracker::new(NEW, 2);
        send(&mut dialogue, &ask(command::QUERY, b"LOAD DATA LOCAL"), chunk);
        dialogue.answers(&packet(1, b"\xfbfile.csv"));
        // It may look like a command, and be numbered like one.
        let file = [packet(2, &[command::QUIT]), packet(0, &[command::CHANGE_USER; 99])].concat();
        assert_eq!(send(&mut dialogue, &file, chunk), (file.clone(), Next::More));
        assert!(!dialogue.is_idle());
        send(&mut dialogue, &packet(4, b""), chunk);
        assert!(!dialogue.is_idle());
        dialogue.answers(&ok(2));
        assert!(dialogue.is_idle());
        assert_eq!(send(&mut dialogue, &codec::quit(), chunk), (Vec::new(), Next::Quit));
        assert!(dialogue.is_left_idle());
    }
}

#[test]
fn packets_of_16_mib_go_on_in_the_next() {
    let long =
        [b"\xff\xff\xff\x00".as_slice(), &[command::QUERY], &vec![b' '; MAX_PAYLOAD - 1]].concat();
    let mut dialogue = SessionTracker::new(NEW, 2);
    // The next looks like a COM_QUIT.
    for part in [long.as_slice(), b"\x01\0\0\x01\x01"] {
        assert_eq!(send(&mut dialogue, part, 1 << 20).1, Next::More);
    }
    let value = [b"\xff\xff\xff\x07".as_slice(), b"\xfe", &vec![b'x'; MAX_PAYLOAD - 1]].concat();
    let body = rows(NEW, &[], 2);
    let (columns, last) = body.split_at(body.len() - end(NEW, 2).len());
    for part in [columns, &value, b"\x07\0\0\x08", &end(NEW, 0)[4..], last] {
        assert!(!dialogue.is_idle());
        dialogue.answers(part);
    }
    assert!(dialogue.is_idle());
}

#[test]
fn quitting_is_seen_at_its_first_byte_and_not_forwarded() {
    let mut dialogue = SessionTracker::new(NEW, 2);
    let bytes = [codec::ping(), codec::quit(), codec::ping()].concat();
    assert_eq!(
        dialogue.requests(&bytes[..9]).unwrap(),
        ForwardPlan { forward: 5, then: Next::More }
    );
    assert_eq!(
        dialogue.requests(&bytes[5..10]).unwrap(),
        ForwardPlan { forward: 0, then: Next::Quit }
    );
    assert!(!dialogue.is_left_idle());
    dialogue.answers(&ok(2));
    assert!(dialogue.is_left_idle() && !dialogue.is_idle());
    assert_eq!(dialogue.requests(b"more").unwrap(), ForwardPlan { forward: 0, then: Next::Quit });
}

#[test]
fn a_change_of_the_user_is_taken_out_whole() {
    let change = ask(command::CHANGE_USER, b"joe\0\0\0");
    let mut dialogue = SessionTracker::new(NEW, 2);
    let bytes = [codec::ping(), change.clone()].concat();
    for cut in 10..bytes.len() {
        assert_eq!(
            SessionTracker::new(NEW, 2).requests(&bytes[..cut]).unwrap(),
            ForwardPlan { forward: 5, then: Next::More }
        );
    }
    let passage = dialogue.requests(&bytes).unwrap();
    assert_eq!(
        passage,
        ForwardPlan { forward: 5, then: Next::ChangeUser { length: change.len() } }
    );
    dialogue.answers(&ok(2));
    assert!(dialogue.is_idle());
    let [a, b, c, _] = u32::try_from(MAX_LOGIN_PACKET + 1).unwrap().to_le_bytes();
    assert!(dialogue.requests(&[a, b, c, 0, command::CHANGE_USER]).is_err());
}

#[test]
fn a_kill_names_another_session() {
    let attributes = NEW.with(Capabilities::QUERY_ATTRIBUTES);
    for (text, number) in [
        ("KILL 17", Some(17)),
        ("kill query 5;", Some(5)),
        (" \n/* why */ -- that\n# is\nKill Connection\t4294967295 ; ", Some(4_294_967_295)),
        ("KILL HARD QUERY 1", Some(1)),
        ("KILL QUERY ID 3", None),
        ("KILL USER joe", None),
        ("KILL 1+1", None),
        ("KILL 5; DROP TABLE t", Some(5)),
        ("KILL5", None),
        ("KILL", None),
        ("KILL 99999999999999999999999", None),
        ("/*! KILL 5 */", None),
        ("SELECT 'KILL 5'", None),
        ("/* KILL 5", None),
    ] {
        for (capabilities, front) in [(NEW, b"".as_slice()), (attributes, &[0, 1])] {
            let packet = ask(command::QUERY, &[front, text.as_bytes()].concat());
            let mut dialogue = SessionTracker::new(capabilities, 2);
            let (sent, then) = send(&mut dialogue, &packet, 3);
            match number {
                None => assert_eq!((sent, then), (packet, Next::More), "{text}"),
                Some(number) => {
                    let Next::Kill(kill) = then else { panic!("{text}: {then:?}") };
                    assert_eq!(
                        (kill.connection, kill.length, sent.len()),
                        (number, packet.len(), 0)
                    );
                    let replaced = kill.replaced(&packet, 123);
                    let wanted = text.replace(&number.to_string(), "123");
                    assert_eq!(replaced, ask(command::QUERY, &[front, wanted.as_bytes()].concat()));
                }
            }
            assert!(!dialogue.is_idle());
            dialogue.answers(&ok(2));
            assert!(dialogue.is_idle());
        }
    }
    let packet = ask(command::PROCESS_KILL, &[7, 0, 0, 0]);
    let (_, Next::Kill(kill)) = send(&mut SessionTracker::new(NEW, 2), &packet, 1) else {
        panic!()
    };
    assert_eq!(
        (kill.connection, kill.replaced(&packet, 258)),
        (7, ask(command::PROCESS_KILL, &[2, 1, 0, 0]))
    );
}

#[test]
fn what_is_not_known_is_let_through_and_never_idle() {
    assert!(SessionTracker::new(NEW.with(Capabilities::COMPRESS), 2).is_lost());
    assert!(SessionTracker::new(NEW.with(Capabilities::ZSTD), 2).is_lost());
    // COM_BINLOG_DUMP, an unknown command, one that is numbered as none is, an empty one.
    for request in
        [ask(0x12, &[0; 10]), ask(0x77, b""), packet(1, &[command::PING]), packet(0, b"")]
    {
        let mut dialogue = SessionTracker::new(NEW, 2);
        assert_eq!(
            send(&mut dialogue, &[request.clone(), codec::quit()].concat(), usize::MAX),
            ([request, codec::quit()].concat(), Next::More)
        );
        dialogue.answers(&ok(2));
        assert!(dialogue.is_lost() && !dialogue.is_idle() && !dialogue.is_left_idle());
    }
    // An answer that nobody asked for, or that is none.
    let mut dialogue = SessionTracker::new(NEW, 2);
    dialogue.answers(&error());
    assert!(dialogue.is_lost());
    for answer in [packet(1, b""), packet(1, b"\xfc"), packet(1, b"\xfe"), packet(1, &[0])] {
        let mut dialogue = SessionTracker::new(NEW, 2);
        send(&mut dialogue, &ask(command::QUERY, b"x"), 9);
        dialogue.answers(&answer);
        assert!(dialogue.is_lost(), "{answer:?}");
    }
    let mut dialogue = SessionTracker::new(NEW, 2);
    send(&mut dialogue, &codec::ping().repeat(MAX_AWAITED + 1), usize::MAX);
    assert!(dialogue.is_lost());
}

proptest! {
    #[test]
    fn parts_make_no_difference(requests: Vec<u8>, answers: Vec<u8>, known in 0..24_usize, chunk in 1..9_usize, new: bool) {
        let capabilities = if new { NEW } else { OLD };
        let (request, answer) = commands(capabilities).swap_remove(known);
        let (requests, answers) = ([request, requests].concat(), [answer, answers].concat());
        let run = |chunk: usize| {
            let mut dialogue = SessionTracker::new(capabilities, 2);
            let (mut held, mut sent, mut last) = (Vec::new(), Vec::new(), Next::More);
            for part in requests.chunks(chunk) {
                held.extend_from_slice(part);
                let Ok(passage) = dialogue.requests(&held) else { return None };
                sent.extend(held.drain(..passage.forward));
                last = passage.then;
                if last != Next::More { break }
            }
            answers.chunks(chunk).for_each(|part| dialogue.answers(part));
            let state = (dialogue.is_idle(), dialogue.is_left_idle(), dialogue.is_lost(), dialogue.status());
            Some((sent, last, state))
        };
        prop_assert_eq!(run(chunk), run(usize::MAX));
    }
}

#[test]
fn little_is_kept() {
    assert!(size_of::<SessionTracker>() <= 160, "{}", size_of::<SessionTracker>());
    assert_eq!(HEADER, 4);
}
