use std::cell::RefCell;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::token::MAX_TOKEN;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::{BindRejection, Limits, ResultCode, parse_bind, result_code, serve_connection};

/// Limits of the tests of timeouts, and the maximum duration of a test on a busy machine.
const SHORT: Limits =
    Limits { lifetime: Duration::from_millis(400), idle: Duration::from_millis(150) };
const PATIENCE: Duration = Duration::from_secs(3);

const UNBIND: &[u8] = b"\x30\x05\x02\x01\x09\x42\x00";
const WHOAMI: &[u8] = b"\x30\x1e\x02\x01\x02\x77\x19\x80\x171.3.6.1.4.1.4203.1.11.3";

/// Encodes a simple bind of up to 127 bytes.
fn request(name: &str, password: &str) -> Vec<u8> {
    let (name, password) = (field(0x04, name), field(0x80, password));
    let bind = [&b"\x02\x01\x03"[..], &name, &password].concat();
    let bind = [&[0x60, u8::try_from(bind.len()).unwrap()], &bind[..]].concat();
    [&[0x30, u8::try_from(bind.len() + 3).unwrap(), 2, 1, 1], &bind[..]].concat()
}

fn field(tag: u8, text: &str) -> Vec<u8> {
    [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// Sends `bytes` and keeps the connection open. Returns the responses and the verified logins.
async fn exchange(
    bytes: &[u8],
    limits: Limits,
    result: Result<(), Failure>,
) -> (Vec<u8>, Vec<String>) {
    let verified = RefCell::new(Vec::new());
    let verify = |bind: super::Bind| {
        verified.borrow_mut().push(format!("{} {} {}", bind.instance, bind.user, *bind.token));
        let result = result.clone();
        async { result }
    };
    let (mut client, server) = duplex(1 << 17);
    let exchange = async {
        client.write_all(bytes).await.unwrap();
        received(&mut client).await
    };
    let ((), responses) = tokio::join!(serve_connection(server, &verify, limits), exchange);
    (responses, verified.into_inner())
}

async fn received(client: &mut DuplexStream) -> Vec<u8> {
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    received
}

/// Returns the result codes of the responses, none of which is longer than 127 bytes.
fn codes(mut responses: &[u8]) -> Vec<u8> {
    let mut codes = Vec::new();
    while let [0x30, length, 2, 1, _, _, _, 0x0a, 1, code, ..] = *responses {
        codes.push(code);
        responses = &responses[usize::from(length) + 2..];
    }
    assert_eq!(responses, b"");
    codes
}

#[tokio::test]
async fn binds_are_served_one_after_the_other() {
    let both = [
        request("cn=jane,dc=orders", "first"),
        request("cn=joe,dc=bills", "second"),
        UNBIND.to_vec(),
    ]
    .concat();
    let (responses, verified) = exchange(&both, Limits::DEFAULT, Ok(())).await;
    assert_eq!(codes(&responses), [0, 0]);
    assert_eq!(verified, ["orders jane first", "bills joe second"]);
}

#[tokio::test]
async fn a_denial_contains_the_public_text_only() {
    let failure = Failure::new(Class::Expired, "who, when and where");
    let (responses, _) = exchange(
        &[&request("cn=jane,dc=orders", "x")[..], UNBIND].concat(),
        Limits::DEFAULT,
        Err(failure),
    )
    .await;
    assert_eq!(codes(&responses), [49]);
    let text = String::from_utf8_lossy(&responses);
    assert!(text.contains(Class::Expired.public()) && !text.contains("where"), "{text}");
}

#[tokio::test]
async fn anonymous_and_malformed_binds_are_rejected_without_verification() {
    for (name, password, refused) in [
        ("", "", 48),
        ("cn=jane,dc=orders", "", 53),
        ("", "x", 34),
        ("cn=,dc=orders", "x", 34),
        ("jane", "x", 34),
        ("cn=jane,dc=", "x", 34),
    ] {
        let (responses, verified) =
            exchange(&[&request(name, password)[..], UNBIND].concat(), Limits::DEFAULT, Ok(()))
                .await;
        assert_eq!((codes(&responses), verified.len()), (vec![refused], 0), "{name}");
    }
}

#[tokio::test]
async fn another_operation_is_rejected_and_closes_the_connection() {
    let bytes = [WHOAMI, &request("cn=jane,dc=orders", "x")].concat();
    let (responses, verified) = exchange(&bytes, Limits::DEFAULT, Ok(())).await;
    assert_eq!((codes(&responses), verified.len()), (vec![53], 0));
}

#[tokio::test]
async fn malformed_messages_close_the_connection_with_a_notice() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80",
        b"\x30\x03\x02\x01\x01",
        b"\x16\x03\x01\x02\x00",
    ] {
        let (responses, _) = exchange(bytes, Limits::DEFAULT, Ok(())).await;
        assert_eq!(codes(&responses), [2], "{bytes:?}");
        assert!(responses.ends_with(b"1.3.6.1.4.1.1466.20036"));
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let start = Instant::now();
    let (responses, _) = exchange(b"", SHORT, Ok(())).await;
    assert_eq!(codes(&responses), [52]);
    // After half a message only the lifetime applies.
    let (responses, _) = exchange(b"\x30\x7f\x02", SHORT, Ok(())).await;
    assert_eq!(codes(&responses), [52]);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn slow_bytes_do_not_extend_the_time_limit() {
    let (mut client, server) = duplex(1024);
    let bytes = request("cn=jane,dc=orders", "a-token");
    let dribble = async {
        for byte in bytes {
            if client.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(SHORT.lifetime / 8).await;
        }
        panic!("the connection stayed open");
    };
    let start = Instant::now();
    tokio::join!(serve_connection(server, &|_| async { Ok(()) }, SHORT), dribble);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_hanging_verifier_is_a_denial_within_the_time_limit() {
    let (mut client, server) = duplex(1024);
    client.write_all(&request("cn=jane,dc=orders", "a-token")).await.unwrap();
    let start = Instant::now();
    let verify = |_| std::future::pending();
    let ((), responses) =
        tokio::join!(serve_connection(server, &verify, SHORT), received(&mut client));
    assert_eq!(codes(&responses), [52, 52]);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn the_user_is_between_prefix_and_suffix() {
    let read = |name: &str| {
        parse_bind(name.as_bytes(), b"x")
            .map(|bind| (bind.user.as_str().to_owned(), bind.instance.as_str().to_owned()))
    };
    let pair = |user: &str, instance: &str| Ok((user.to_owned(), instance.to_owned()));
    assert_eq!(read("cn=jane,dc=orders"), pair("jane", "orders"));
    assert_eq!(read("cn=a b+c@d.e/é,dc=orders"), pair("a b+c@d.e/é", "orders"));
    // A user name cannot name another instance: the server appends its suffix last.
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
    assert_eq!(parse_bind(b"cn=\xff,dc=orders", b"x").unwrap_err().0, ResultCode::InvalidDnSyntax);
}

#[test]
fn a_token_is_converted_to_text_and_has_a_maximum_length() {
    let read = |password: &[u8]| parse_bind(b"cn=jane,dc=orders", password);
    assert_eq!(read(&[b'x'; MAX_TOKEN]).unwrap().token.len(), MAX_TOKEN);
    let malformed = BindRejection(ResultCode::InvalidCredentials, Class::Malformed.public());
    assert_eq!(read(&[b'x'; MAX_TOKEN + 1]).unwrap_err(), malformed);
    // A token that is not UTF-8 is verified too, so that its denial is logged.
    assert_eq!(*read(b"a\xff\xfeb\xe2\x82").unwrap().token, "a\u{fffd}\u{fffd}b\u{fffd}");
    assert!(!format!("{:?}", read(b"a-token")).contains("a-token"));
}

#[test]
fn no_class_of_failure_maps_to_success() {
    assert!(Class::ALL.into_iter().all(|class| result_code(class) != ResultCode::Success));
}
