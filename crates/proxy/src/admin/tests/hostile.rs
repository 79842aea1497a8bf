//! Connections that are not those of an operator.

use super::*;

/// What is left of a connection on which `sent` was said.
async fn rest(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The other side may have hung up on the first half.
    _ = stream.write_all(sent).await;
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const IMPATIENT: Limits = Limits {
    lifetime: Duration::from_secs(60),
    head: Duration::from_millis(50),
    body: Duration::from_millis(50),
};

#[tokio::test]
async fn giant_heads_and_bodies_are_refused() {
    let address = Stage::new().serve(HTTP, Limits::USUAL).await;
    let head =
        format!("GET /liveness HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(MAX_HEAD * 2));
    assert!(rest(address, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /liveness HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(rest(address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let body = format!(
        "GET /liveness HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{}",
        MAX_BODY + 1,
        "a".repeat(MAX_BODY + 1)
    );
    assert!(rest(address, body.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let announced = "GET /liveness HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n";
    let impatient = Stage::new().serve(HTTP, IMPATIENT).await;
    assert!(!rest(impatient, announced.as_bytes()).await.starts_with("HTTP/1.1 200"));
    for garbage in
        [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"SSH-2.0-x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"]
    {
        assert!(!rest(impatient, garbage).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(ask(address, "GET /liveness").await.0, 200);
}

#[tokio::test]
async fn whoever_says_nothing_or_half_is_cut_off() {
    let address = Stage::new().serve(HTTP, IMPATIENT).await;
    assert_eq!(rest(address, b"").await, "");
    rest(address, b"GET /liveness HTTP/1.1\r\nhost").await;
    let half =
        rest(address, b"POST /liveness HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab").await;
    assert!(half.starts_with("HTTP/1.1 408"), "{half}");
}

#[tokio::test]
async fn thousands_of_slow_connections_keep_nobody_out() {
    let address = Stage::new().serve(HTTP, Limits::USUAL).await;
    let mut slow = Vec::new();
    for number in 0..2_000 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        _ = stream.write_all(b"GET /liveness HTTP/1.1\r\nhost: ").await;
        // Only the newest are kept by the test: descriptors are few.
        if slow.len() == 2 * MAX_OPEN {
            slow.remove(0);
        }
        slow.push(stream);
        if number % 500 == 0 {
            assert_eq!(ask(address, "GET /liveness").await.0, 200);
        }
    }
    assert_eq!(ask(address, "GET /readiness").await.0, 200);
    // The older half has made room for the newer.
    let mut first = slow.remove(0);
    let mut answer = Vec::new();
    _ = first.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}
