use proptest::prelude::*;

use super::*;
use crate::pg::codec;

fn sync() -> Vec<u8> {
    codec::message(b'S', b"")
}

fn requests(pieces: &[&[u8]]) -> (FrontendTracker, Vec<ForwardPlan>) {
    let mut requests = FrontendTracker::default();
    let passages = pieces.iter().map(|piece| requests.follow(piece)).collect();
    (requests, passages)
}

fn answers(bytes: &[u8]) -> BackendTracker {
    let mut answers = BackendTracker::default();
    answers.follow(bytes);
    answers
}

#[test]
fn what_is_answered_by_being_ready_is_counted() {
    let counted = |bytes: &[u8]| requests(&[bytes]).0.expected_ready();
    assert_eq!(counted(&codec::query("SELECT 1")), 1);
    assert_eq!(counted(&codec::message(b'F', b"")), 1);
    let extended =
        [b"PBDE".iter().flat_map(|kind| codec::message(*kind, b"..")).collect(), sync()].concat();
    assert_eq!(counted(&extended), 1);
    assert_eq!(counted(&extended.repeat(3)), 3, "a pipeline");
    assert_eq!(counted(&codec::message(b'H', b"")), 0, "Flush asks for no ReadyForQuery");
    let copy = [
        codec::message(b'd', b"Q....\n"),
        codec::message(b'd', b"X\0\0\0\x04"),
        codec::message(b'c', b""),
    ]
    .concat();
    assert_eq!(counted(&copy), 0, "what is copied is not looked into");
}

#[test]
fn a_terminate_is_held_back_wherever_it_is_cut() {
    let ahead = [codec::query("SELECT 1"), sync()].concat();
    let bytes = [ahead.clone(), codec::terminate(), codec::query("SELECT 2")].concat();
    for cut in 0..=bytes.len() {
        let (one, two) = bytes.split_at(cut);
        let (mut requests, passages) = requests(&[one, two]);
        let mut forwarded = Vec::new();
        for (piece, passage) in [one, two].into_iter().zip(passages) {
            match passage {
                ForwardPlan::All => forwarded.extend_from_slice(piece),
                ForwardPlan::Until(end) => forwarded.extend_from_slice(&piece[..end]),
            }
        }
        assert_eq!(forwarded, ahead, "{cut}");
        assert_eq!(requests.expected_ready(), 2, "{cut}");
        assert_eq!(requests.follow(&codec::query("SELECT 3")), ForwardPlan::Until(0));
    }
}

#[test]
fn nothing_within_a_message_is_a_terminate() {
    let (_, passages) = requests(&[&codec::query("X\0\0\0\x04X"), b"Q\0\0\0\x09", b"X", b"XXXX"]);
    assert_eq!(passages, [ForwardPlan::All; 4]);
}

#[test]
fn being_ready_is_counted_and_what_comes_unasked_changes_nothing() {
    let ready = codec::ready_for_query(b'I');
    assert_eq!(
        (answers(b"").received_ready(), answers(b"").status()),
        (0, None),
        "nobody knows before the first"
    );
    assert_eq!((answers(&ready).received_ready(), answers(&ready).status()), (1, Some(b'I')));
    let notice = codec::message(b'N', b"SNOTICE\0\0");
    let notification = codec::message(b'A', b"\0\0\0\x01channel\0payload\0");
    let asides =
        [ready.clone(), notice.clone(), notification, codec::parameter_status("a", "b")].concat();
    assert_eq!(answers(&asides).status(), Some(b'I'));
    assert_eq!(answers(&asides[..asides.len() - 1]).status(), None, "a message is under way");
    assert_eq!(answers(&asides[..ready.len() + 1]).status(), None, "a header is under way");
    assert_eq!(
        answers(&[ready.clone(), codec::message(b'T', b"")].concat()).status(),
        None,
        "an answer is under way"
    );
    assert_eq!(answers(&[ready, codec::ready_for_query(b'E')].concat()).status(), Some(b'E'));
    assert_eq!(answers(&codec::ready_for_query(b'T')).status(), Some(b'T'));
    assert_eq!(
        answers(&codec::ready_for_query(b'?')).status(),
        None,
        "a status nobody knows is none to build on"
    );
}

#[test]
fn ready_is_what_is_ready_in_full() {
    let ready = codec::ready_for_query(b'I');
    for cut in 0..ready.len() {
        let part = answers(&ready[..cut]);
        assert_eq!((part.received_ready(), part.status()), (0, None), "{cut}");
    }
}

#[test]
fn copies_are_followed_both_ways() {
    let out = [
        codec::message(b'H', b"\0\0\0"),
        codec::message(b'd', b"Z\0\0\0\x05I").repeat(2),
        codec::message(b'c', b""),
    ]
    .concat();
    let done =
        [out.clone(), codec::message(b'C', b"COPY 2\0"), codec::ready_for_query(b'I')].concat();
    assert_eq!((answers(&out).received_ready(), answers(&out).status()), (0, None));
    assert_eq!((answers(&done).received_ready(), answers(&done).status()), (1, Some(b'I')));
}

#[test]
fn who_can_not_be_followed_is_never_said_to_be_idle() {
    for length in [0, 3, MAX_MESSAGE + 1, u32::MAX] {
        let broken = [[b'D'].as_slice(), &length.to_be_bytes()].concat();
        let (mut lost, passages) = requests(&[&codec::query("x"), &broken, &codec::terminate()]);
        assert_eq!(passages, [ForwardPlan::All; 3], "it is handed on all the same");
        assert_eq!(lost.expected_ready(), u64::MAX);
        lost.follow(&sync());
        assert_eq!(lost.expected_ready(), u64::MAX);
        let mut answers = answers(&[codec::ready_for_query(b'I'), broken].concat());
        answers.follow(&codec::ready_for_query(b'I'));
        assert_eq!((answers.received_ready(), answers.status()), (1, None));
    }
    let mut short = answers(b"Z\0\0\0\x04");
    short.follow(&codec::ready_for_query(b'I'));
    assert_eq!(
        (short.received_ready(), short.status()),
        (0, None),
        "a ReadyForQuery without a status"
    );
    let mut long = answers(b"Z\0\0\0\x06II");
    long.follow(&codec::ready_for_query(b'I'));
    assert_eq!((long.received_ready(), long.status()), (0, None), "or with two");
}

#[test]
fn the_largest_message_is_followed_without_being_held() {
    let mut answers = answers(&[[b'D'].as_slice(), &MAX_MESSAGE.to_be_bytes()].concat());
    let piece = vec![b'Z'; 1 << 20];
    let mut left = usize::try_from(MAX_MESSAGE).unwrap() - 4;
    while left > 0 {
        let now = left.min(piece.len());
        answers.follow(&piece[..now]);
        left -= now;
    }
    answers.follow(&codec::ready_for_query(b'I'));
    assert_eq!((answers.received_ready(), answers.status()), (1, Some(b'I')));
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

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
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
    fn cuts_change_nothing(
        messages in proptest::collection::vec(message(), 0..20),
        noise in proptest::collection::vec(any::<u8>(), 0..30),
        sizes in proptest::collection::vec(1..12_usize, 1..8),
    ) {
        let bytes = [messages.concat(), noise].concat();
        let (mut whole, mut parts) = (FrontendTracker::default(), FrontendTracker::default());
        let forwarded = |requests: &mut FrontendTracker, piece: &[u8]| match requests.follow(piece) {
            ForwardPlan::All => piece.to_vec(),
            ForwardPlan::Until(end) => piece[..end].to_vec(),
        };
        let at_once = forwarded(&mut whole, &bytes);
        let cut_up: Vec<u8> = cut(&bytes, &sizes).iter().flat_map(|piece| forwarded(&mut parts, piece)).collect();
        prop_assert_eq!(at_once, cut_up);
        prop_assert_eq!(whole.expected_ready(), parts.expected_ready());

        let (whole, mut parts) = (answers(&bytes), BackendTracker::default());
        cut(&bytes, &sizes).iter().for_each(|piece| parts.follow(piece));
        prop_assert_eq!((whole.received_ready(), whole.status()), (parts.received_ready(), parts.status()));
    }

    #[test]
    fn what_was_sent_is_what_is_counted(messages in proptest::collection::vec(message(), 0..20)) {
        let sent: Vec<u8> = messages.concat();
        let until = messages.iter().take_while(|message| message[0] != b'X');
        let awaited = until.filter(|message| matches!(message[0], b'Q' | b'S' | b'F')).count();
        prop_assert_eq!(requests(&[&sent]).0.expected_ready(), awaited as u64);
        let given = messages.iter().filter(|message| message[0] == b'Z').count();
        prop_assert_eq!(answers(&sent).received_ready(), given as u64);
    }
}

#[test]
fn statements_that_take_a_database_are_noticed() {
    let prepared = |text: &str| codec::message(b'P', format!("name\0{text}\0\0\0").as_bytes());
    let takes = |bytes: &[u8]| {
        let mut requests = requests(&[bytes]).0;
        let takes = requests.take_exclusive_ddl_flag();
        assert!(!requests.take_exclusive_ddl_flag(), "it is told once");
        takes
    };
    for text in [
        "DROP DATABASE shop",
        " \n drop\tdatabase IF EXISTS shop",
        "Create Database a TEMPLATE b",
        "ALTER DATABASE a RENAME TO b",
    ] {
        assert!(takes(&codec::query(text)) && takes(&prepared(text)), "{text}");
    }
    for text in [
        "DROP TABLE database",
        "DROPDATABASE shop",
        "SELECT 'DROP DATABASE shop'",
        "DROP DATABASE",
        "DROP",
        "",
    ] {
        assert!(!takes(&codec::query(text)) && !takes(&prepared(text)), "{text}");
    }
    assert!(
        !takes(&codec::message(b'd', b"DROP DATABASE shop")),
        "what is copied is not looked into"
    );
    assert!(takes(
        &[codec::query("SELECT 1"), codec::query("DROP DATABASE shop"), codec::query("SELECT 1")]
            .concat()
    ));
}
