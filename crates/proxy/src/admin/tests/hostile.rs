//! Connections of hostile or broken clients.

use super::*;

/// Sends bytes on a new connection. Returns everything received until it is closed.
async fn exchange(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The server may close the connection before it has received everything.
    _ = stream.write_all(sent).await;
    let mut response = Vec::new();
    _ = stream.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

const SHORT_TIMEOUTS: Limits = Limits {
    head_timeout: Duration::from_millis(50),
    body_timeout: Duration::from_millis(50),
    ..LIMITS
};

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let address = FakeProxy::new().serve(HTTP, LIMITS).await;
    let head = format!(
        "GET /liveness HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(LIMITS.max_head * 2)
    );
    assert!(exchange(address, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /liveness HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(exchange(address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let body = format!(
        "GET /liveness HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{}",
        LIMITS.max_body + 1,
        "a".repeat(LIMITS.max_body + 1)
    );
    assert!(exchange(address, body.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let announced = "GET /liveness HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                     ffffffffffffffff\r\n";
    let short = FakeProxy::new().serve(HTTP, SHORT_TIMEOUTS).await;
    assert!(!exchange(short, announced.as_bytes()).await.starts_with("HTTP/1.1 200"));
    for garbage in
        [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"SSH-2.0-x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"]
    {
        assert!(!exchange(short, garbage).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(request(address, "GET /liveness").await.0, 200);
}

#[tokio::test]
async fn idle_and_incomplete_requests_time_out() {
    let address = FakeProxy::new().serve(HTTP, SHORT_TIMEOUTS).await;
    assert_eq!(exchange(address, b"").await, "");
    exchange(address, b"GET /liveness HTTP/1.1\r\nhost").await;
    let half =
        exchange(address, b"POST /liveness HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
            .await;
    assert!(half.starts_with("HTTP/1.1 408"), "{half}");
}

#[tokio::test]
async fn thousands_of_slow_connections_do_not_block_others() {
    let address = FakeProxy::new().serve(HTTP, LIMITS).await;
    let mut slow = Vec::new();
    for number in 0..2_000 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        _ = stream.write_all(b"GET /liveness HTTP/1.1\r\nhost: ").await;
        // The test keeps only the newest ones, because descriptors are limited.
        if slow.len() == 2 * MAX_OPEN {
            slow.remove(0);
        }
        slow.push(stream);
        if number % 500 == 0 {
            assert_eq!(request(address, "GET /liveness").await.0, 200);
        }
    }
    assert_eq!(request(address, "GET /readiness").await.0, 200);
    // The older half was evicted.
    let mut first = slow.remove(0);
    let mut response = Vec::new();
    _ = first.read_to_end(&mut response).await;
    assert_eq!(response, b"");
}
