use std::cell::RefCell;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::token::MAX_TOKEN;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::{Limits, Refusal, ResultCode, bind, code, hold};

/// What the tests of lateness give a connection, and the most that it may then last on a busy machine.
const SHORT: Limits =
    Limits { lifetime: Duration::from_millis(400), idle: Duration::from_millis(150) };
const PATIENCE: Duration = Duration::from_secs(3);

const UNBIND: &[u8] = b"\x30\x05\x02\x01\x09\x42\x00";
const WHOAMI: &[u8] = b"\x30\x1e\x02\x01\x02\x77\x19\x80\x171.3.6.1.4.1.4203.1.11.3";

/// A simple bind of up to 127 bytes.
fn request(name: &str, password: &str) -> Vec<u8> {
    let (name, password) = (field(0x04, name), field(0x80, password));
    let bind = [&b"\x02\x01\x03"[..], &name, &password].concat();
    let bind = [&[0x60, u8::try_from(bind.len()).unwrap()], &bind[..]].concat();
    [&[0x30, u8::try_from(bind.len() + 3).unwrap(), 2, 1, 1], &bind[..]].concat()
}

fn field(tag: u8, text: &str) -> Vec<u8> {
    [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// What a client reads that sends `bytes` and keeps the connection open, and what was asked of the verifier.
async fn told(
    bytes: &[u8],
    limits: Limits,
    verdict: Result<(), Failure>,
) -> (Vec<u8>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let verify = |bind: super::Bind| {
        asked.borrow_mut().push(format!("{} {} {}", bind.instance, bind.user, *bind.token));
        let verdict = verdict.clone();
        async { verdict }
    };
    let (mut client, server) = duplex(1 << 17);
    let talk = async {
        client.write_all(bytes).await.unwrap();
        heard(&mut client).await
    };
    let ((), heard) = tokio::join!(hold(server, &verify, limits), talk);
    (heard, asked.into_inner())
}

async fn heard(client: &mut DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    heard
}

/// The result codes of the responses, one after the other; none is longer than 127 bytes.
fn codes(mut heard: &[u8]) -> Vec<u8> {
    let mut codes = Vec::new();
    while let [0x30, length, 2, 1, _, _, _, 0x0a, 1, code, ..] = *heard {
        codes.push(code);
        heard = &heard[usize::from(length) + 2..];
    }
    assert_eq!(heard, b"");
    codes
}

#[tokio::test]
async fn binds_are_answered_one_after_the_other() {
    let both = [
        request("cn=jane,dc=orders", "first"),
        request("cn=joe,dc=bills", "second"),
        UNBIND.to_vec(),
    ]
    .concat();
    let (heard, asked) = told(&both, Limits::USUAL, Ok(())).await;
    assert_eq!(codes(&heard), [0, 0]);
    assert_eq!(asked, ["orders jane first", "bills joe second"]);
}

#[tokio::test]
async fn a_refusal_carries_the_public_text_alone() {
    let failure = Failure::new(Class::Expired, "who, when and where");
    let (heard, _) = told(
        &[&request("cn=jane,dc=orders", "x")[..], UNBIND].concat(),
        Limits::USUAL,
        Err(failure),
    )
    .await;
    assert_eq!(codes(&heard), [49]);
    let text = String::from_utf8_lossy(&heard);
    assert!(text.contains(Class::Expired.public()) && !text.contains("where"), "{text}");
}

#[tokio::test]
async fn binds_as_nobody_are_refused_unasked() {
    for (name, password, refused) in [
        ("", "", 48),
        ("cn=jane,dc=orders", "", 53),
        ("", "x", 34),
        ("cn=,dc=orders", "x", 34),
        ("jane", "x", 34),
        ("cn=jane,dc=", "x", 34),
    ] {
        let (heard, asked) =
            told(&[&request(name, password)[..], UNBIND].concat(), Limits::USUAL, Ok(())).await;
        assert_eq!((codes(&heard), asked.len()), (vec![refused], 0), "{name}");
    }
}

#[tokio::test]
async fn another_operation_is_refused_and_ends_it() {
    let bytes = [WHOAMI, &request("cn=jane,dc=orders", "x")].concat();
    let (heard, asked) = told(&bytes, Limits::USUAL, Ok(())).await;
    assert_eq!((codes(&heard), asked.len()), (vec![53], 0));
}

#[tokio::test]
async fn garbage_ends_it_with_a_notice() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80",
        b"\x30\x03\x02\x01\x01",
        b"\x16\x03\x01\x02\x00",
    ] {
        let (heard, _) = told(bytes, Limits::USUAL, Ok(())).await;
        assert_eq!(codes(&heard), [2], "{bytes:?}");
        assert!(heard.ends_with(b"1.3.6.1.4.1.1466.20036"));
    }
}

#[tokio::test]
async fn silence_ends_it() {
    let start = Instant::now();
    let (heard, _) = told(b"", SHORT, Ok(())).await;
    assert_eq!(codes(&heard), [52]);
    // Half a message is not silence, but bound by the whole time.
    let (heard, _) = told(b"\x30\x7f\x02", SHORT, Ok(())).await;
    assert_eq!(codes(&heard), [52]);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn bytes_that_dribble_in_extend_nothing() {
    let (mut client, server) = duplex(1024);
    let bytes = request("cn=jane,dc=orders", "a-token");
    let dribble = async {
        for byte in bytes {
            if client.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(SHORT.lifetime / 8).await;
        }
        panic!("it read to the end");
    };
    let start = Instant::now();
    tokio::join!(hold(server, &|_| async { Ok(()) }, SHORT), dribble);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_verifier_that_hangs_is_a_refusal_in_time() {
    let (mut client, server) = duplex(1024);
    client.write_all(&request("cn=jane,dc=orders", "a-token")).await.unwrap();
    let start = Instant::now();
    let verify = |_| std::future::pending();
    let ((), heard) = tokio::join!(hold(server, &verify, SHORT), heard(&mut client));
    assert_eq!(codes(&heard), [52, 52]);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_name_is_the_user_between_prefix_and_suffix() {
    let read = |name: &str| {
        bind(name.as_bytes(), b"x")
            .map(|bind| (bind.user.as_str().to_owned(), bind.instance.as_str().to_owned()))
    };
    let pair = |user: &str, instance: &str| Ok((user.to_owned(), instance.to_owned()));
    assert_eq!(read("cn=jane,dc=orders"), pair("jane", "orders"));
    assert_eq!(read("cn=a b+c@d.e/é,dc=orders"), pair("a b+c@d.e/é", "orders"));
    // A user can't make itself one of another instance: what the server adds stands last.
    assert_eq!(read("cn=jane,dc=bills,dc=orders"), pair("jane,dc=bills", "orders"));
    assert_eq!(read("cn=cn=jane,dc=orders"), pair("cn=jane", "orders"));
    for wrong in [
        "CN=jane,dc=orders",
        "cn=jane,DC=orders",
        "cn=jane",
        "jane,dc=orders",
        "cn=jane,dc=orders ",
        "cn=jane, dc=orders",
        ",dc=orders",
    ] {
        assert_eq!(read(wrong).unwrap_err().0, ResultCode::InvalidDnSyntax, "{wrong}");
    }
    assert_eq!(bind(b"cn=\xff,dc=orders", b"x").unwrap_err().0, ResultCode::InvalidDnSyntax);
}

#[test]
fn a_token_is_made_text_and_has_a_bounded_length() {
    let read = |password: &[u8]| bind(b"cn=jane,dc=orders", password);
    assert_eq!(read(&[b'x'; MAX_TOKEN]).unwrap().token.len(), MAX_TOKEN);
    let malformed = Refusal(ResultCode::InvalidCredentials, Class::Malformed.public());
    assert_eq!(read(&[b'x'; MAX_TOKEN + 1]).unwrap_err(), malformed);
    // What is no text is asked about too, so that its refusal is in the log.
    assert_eq!(*read(b"a\xff\xfeb\xe2\x82").unwrap().token, "a\u{fffd}\u{fffd}b\u{fffd}");
    assert!(!format!("{:?}", read(b"a-token")).contains("a-token"));
}

#[test]
fn no_class_of_failure_is_a_success() {
    assert!(Class::ALL.into_iter().all(|class| code(class) != ResultCode::Success));
}
