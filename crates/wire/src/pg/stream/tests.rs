use proptest::prelude::*;

use super::*;
use crate::pg::codec;

fn sync() -> Vec<u8> {
    codec::message(b'S', b"")
}

fn frontend(pieces: &[&[u8]]) -> (FrontendTracker, Vec<ForwardPlan>) {
    let mut tracker = FrontendTracker::default();
    let plans = pieces.iter().map(|piece| tracker.observe(piece)).collect();
    (tracker, plans)
}

fn backend(bytes: &[u8]) -> BackendTracker {
    let mut tracker = BackendTracker::default();
    tracker.observe(bytes);
    tracker
}

#[test]
fn expected_ready_counts_query_sync_and_function_call() {
    let counted = |bytes: &[u8]| frontend(&[bytes]).0.expected_ready();
    assert_eq!(counted(&codec::query("SELECT 1")), 1);
    assert_eq!(counted(&codec::message(b'F', b"")), 1);
    let extended =
        [b"PBDE".iter().flat_map(|kind| codec::message(*kind, b"..")).collect(), sync()].concat();
    assert_eq!(counted(&extended), 1);
    assert_eq!(counted(&extended.repeat(3)), 3, "a pipeline");
    assert_eq!(counted(&codec::message(b'H', b"")), 0, "Flush causes no ReadyForQuery");
    let copy = [
        codec::message(b'd', b"Q....\n"),
        codec::message(b'd', b"X\0\0\0\x04"),
        codec::message(b'c', b""),
    ]
    .concat();
    assert_eq!(counted(&copy), 0, "copied data is not scanned");
}

#[test]
fn terminate_is_never_forwarded() {
    let ahead = [codec::query("SELECT 1"), sync()].concat();
    let bytes = [ahead.clone(), codec::terminate(), codec::query("SELECT 2")].concat();
    for cut in 0..=bytes.len() {
        let (one, two) = bytes.split_at(cut);
        let (mut tracker, plans) = frontend(&[one, two]);
        let mut forwarded = Vec::new();
        for (piece, plan) in [one, two].into_iter().zip(plans) {
            match plan {
                ForwardPlan::All => forwarded.extend_from_slice(piece),
                ForwardPlan::Until(end) => forwarded.extend_from_slice(&piece[..end]),
            }
        }
        assert_eq!(forwarded, ahead, "{cut}");
        assert_eq!(tracker.expected_ready(), 2, "{cut}");
        assert_eq!(tracker.observe(&codec::query("SELECT 3")), ForwardPlan::Until(0));
    }
}

#[test]
fn message_content_is_not_a_terminate() {
    let (_, plans) = frontend(&[&codec::query("X\0\0\0\x04X"), b"Q\0\0\0\x09", b"X", b"XXXX"]);
    assert_eq!(plans, [ForwardPlan::All; 4]);
}

#[test]
fn asynchronous_messages_keep_the_status() {
    let ready = codec::ready_for_query(b'I');
    assert_eq!(
        (backend(b"").received_ready(), backend(b"").status()),
        (0, None),
        "unknown before the first"
    );
    assert_eq!((backend(&ready).received_ready(), backend(&ready).status()), (1, Some(b'I')));
    let notice = codec::message(b'N', b"SNOTICE\0\0");
    let notification = codec::message(b'A', b"\0\0\0\x01channel\0payload\0");
    let asynchronous =
        [ready.clone(), notice.clone(), notification, codec::parameter_status("a", "b")].concat();
    assert_eq!(backend(&asynchronous).status(), Some(b'I'));
    assert_eq!(
        backend(&asynchronous[..asynchronous.len() - 1]).status(),
        None,
        "incomplete message"
    );
    assert_eq!(backend(&asynchronous[..ready.len() + 1]).status(), None, "incomplete header");
    assert_eq!(
        backend(&[ready.clone(), codec::message(b'T', b"")].concat()).status(),
        None,
        "incomplete response"
    );
    assert_eq!(backend(&[ready, codec::ready_for_query(b'E')].concat()).status(), Some(b'E'));
    assert_eq!(backend(&codec::ready_for_query(b'T')).status(), Some(b'T'));
    assert_eq!(backend(&codec::ready_for_query(b'?')).status(), None, "unknown status");
}

#[test]
fn partial_ready_for_query_is_not_counted() {
    let ready = codec::ready_for_query(b'I');
    for cut in 0..ready.len() {
        let part = backend(&ready[..cut]);
        assert_eq!((part.received_ready(), part.status()), (0, None), "{cut}");
    }
}

#[test]
fn copied_data_is_skipped() {
    let out = [
        codec::message(b'H', b"\0\0\0"),
        codec::message(b'd', b"Z\0\0\0\x05I").repeat(2),
        codec::message(b'c', b""),
    ]
    .concat();
    let done =
        [out.clone(), codec::message(b'C', b"COPY 2\0"), codec::ready_for_query(b'I')].concat();
    assert_eq!((backend(&out).received_ready(), backend(&out).status()), (0, None));
    assert_eq!((backend(&done).received_ready(), backend(&done).status()), (1, Some(b'I')));
}

#[test]
fn desynced_stream_is_never_idle() {
    for length in [0, 3, MAX_MESSAGE + 1, u32::MAX] {
        let broken = [[b'D'].as_slice(), &length.to_be_bytes()].concat();
        let (mut desynced, plans) = frontend(&[&codec::query("x"), &broken, &codec::terminate()]);
        assert_eq!(plans, [ForwardPlan::All; 3], "still forwarded");
        assert_eq!(desynced.expected_ready(), u64::MAX);
        desynced.observe(&sync());
        assert_eq!(desynced.expected_ready(), u64::MAX);
        let mut tracker = backend(&[codec::ready_for_query(b'I'), broken].concat());
        tracker.observe(&codec::ready_for_query(b'I'));
        assert_eq!((tracker.received_ready(), tracker.status()), (1, None));
    }
    let mut short = backend(b"Z\0\0\0\x04");
    short.observe(&codec::ready_for_query(b'I'));
    assert_eq!(
        (short.received_ready(), short.status()),
        (0, None),
        "a ReadyForQuery without a status"
    );
    let mut long = backend(b"Z\0\0\0\x06II");
    long.observe(&codec::ready_for_query(b'I'));
    assert_eq!((long.received_ready(), long.status()), (0, None), "a ReadyForQuery with two");
}

#[test]
fn largest_message_is_skipped_without_buffering() {
    let mut tracker = backend(&[[b'D'].as_slice(), &MAX_MESSAGE.to_be_bytes()].concat());
    let piece = vec![b'Z'; 1 << 20];
    let mut left = usize::try_from(MAX_MESSAGE).unwrap() - 4;
    while left > 0 {
        let now = left.min(piece.len());
        tracker.observe(&piece[..now]);
        left -= now;
    }
    tracker.observe(&codec::ready_for_query(b'I'));
    assert_eq!((tracker.received_ready(), tracker.status()), (1, Some(b'I')));
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(b'Q'),
        Just(b'S'),
        Just(b'F'),
        Just(b'P'),
        Just(b'd'),
        Just(b'N'),
        Just(b'A'),
        Just(b'C')
    ];
    let ready = prop_oneof![Just(b'I'), Just(b'T'), Just(b'E')].prop_map(codec::ready_for_query);
    let other = (kind, proptest::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(kind, payload)| codec::message(kind, &payload));
    prop_oneof![3 => other, 1 => ready, 1 => Just(codec::terminate())]
}

fn split(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        pieces.push(now.to_vec());
        rest = later;
    }
    pieces
}

proptest! {
    #[test]
    fn splitting_the_input_changes_nothing(
        messages in proptest::collection::vec(message(), 0..20),
        noise in proptest::collection::vec(any::<u8>(), 0..30),
        sizes in proptest::collection::vec(1..12_usize, 1..8),
    ) {
        let bytes = [messages.concat(), noise].concat();
        let (mut whole, mut parts) = (FrontendTracker::default(), FrontendTracker::default());
        let forwarded = |tracker: &mut FrontendTracker, piece: &[u8]| match tracker.observe(piece) {
            ForwardPlan::All => piece.to_vec(),
            ForwardPlan::Until(end) => piece[..end].to_vec(),
        };
        let at_once = forwarded(&mut whole, &bytes);
        let in_pieces: Vec<u8> = split(&bytes, &sizes).iter().flat_map(
            |piece| forwarded(&mut parts, piece),
        ).collect();
        prop_assert_eq!(at_once, in_pieces);
        prop_assert_eq!(whole.expected_ready(), parts.expected_ready());

        let (whole, mut parts) = (backend(&bytes), BackendTracker::default());
        split(&bytes, &sizes).iter().for_each(|piece| parts.observe(piece));
        prop_assert_eq!(
            (whole.received_ready(), whole.status()),
            (parts.received_ready(), parts.status()),
        );
    }

    #[test]
    fn counts_match_the_messages(messages in proptest::collection::vec(message(), 0..20)) {
        let sent: Vec<u8> = messages.concat();
        let until = messages.iter().take_while(|message| message[0] != b'X');
        let expected = until.filter(|message| matches!(message[0], b'Q' | b'S' | b'F')).count();
        prop_assert_eq!(frontend(&[&sent]).0.expected_ready(), expected as u64);
        let received = messages.iter().filter(|message| message[0] == b'Z').count();
        prop_assert_eq!(backend(&sent).received_ready(), received as u64);
    }
}

#[test]
fn exclusive_ddl_is_detected() {
    let prepared = |text: &str| codec::message(b'P', format!("name\0{text}\0\0\0").as_bytes());
    let detected = |bytes: &[u8]| {
        let mut tracker = frontend(&[bytes]).0;
        let detected = tracker.take_exclusive_ddl_flag();
        assert!(!tracker.take_exclusive_ddl_flag(), "the flag is reset");
        detected
    };
    for text in [
        "DROP DATABASE shop",
        " \n drop\tdatabase IF EXISTS shop",
        "Create Database a TEMPLATE b",
        "ALTER DATABASE a RENAME TO b",
    ] {
        assert!(detected(&codec::query(text)) && detected(&prepared(text)), "{text}");
    }
    for text in [
        "DROP TABLE database",
        "DROPDATABASE shop",
        "SELECT 'DROP DATABASE shop'",
        "DROP DATABASE",
        "DROP",
        "",
    ] {
        assert!(!detected(&codec::query(text)) && !detected(&prepared(text)), "{text}");
    }
    assert!(!detected(&codec::message(b'd', b"DROP DATABASE shop")), "copied data is not scanned");
    assert!(detected(
        &[codec::query("SELECT 1"), codec::query("DROP DATABASE shop"), codec::query("SELECT 1")]
            .concat()
    ));
}
