use std::net::{Ipv4Addr, Ipv6Addr};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A bound address without a listener.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// An address that does not respond: Linux ignores connections to a listener with a full queue.
fn silent() -> (Vec<Socket>, SocketAddr) {
    let (listener, address) = refusing();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..3 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // Connecting or queued: both fill the queue.
        let _connecting = filler.connect(&address.into());
        sockets.push(filler);
    }
    (sockets, address)
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let (_held, refusing) = refusing();
    let (_listener, address) = listener().await;
    let start = Instant::now();
    let stream = connect(&[refusing, address], soon()).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    assert!(start.elapsed() < ATTEMPT_DELAY, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_has_nodelay_and_keepalive() {
    let (_listener, address) = listener().await;
    let stream = connect(&[address], soon()).await.unwrap();
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
}

#[tokio::test]
async fn an_unresponsive_address_does_not_delay_the_next() {
    let (_held, silent) = silent();
    let (_listener, address) = listener().await;
    let start = Instant::now();
    let stream = connect(&[silent, address], soon()).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    assert!(
        start.elapsed() >= ATTEMPT_DELAY && start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_lists_the_attempts() {
    let (_held, silent) = silent();
    let (_other, refusing) = refusing();
    let start = Instant::now();
    let failure = connect(&[silent, refusing], start + Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((failure.class, start.elapsed().as_secs()), (Class::TimedOut, 3));
    let expected = format!(
        "{refusing}: Connection refused (os error 111); {silent}: no answer; check the address"
    );
    assert!(failure.detail.starts_with(&expected), "{failure}");
}

#[tokio::test]
async fn an_expired_deadline_blames_no_address() {
    let (_listener, address) = listener().await;
    let failure = connect(&[address], Instant::now()).await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.starts_with("cannot connect: no time left"), "{failure}");
}

#[tokio::test]
async fn an_error_lists_every_address() {
    let ((_one, first), (_other, second)) = (refusing(), refusing());
    let failure = connect(&[first, second, first], soon()).await.unwrap_err();
    assert_eq!(failure.class, Class::Unavailable);
    for address in [first, second] {
        assert_eq!(
            failure.detail.matches(&format!("{address}: Connection refused")).count(),
            1,
            "{failure}"
        );
    }
    let nowhere = connect(&[], soon()).await.unwrap_err();
    assert!(
        nowhere.class == Class::Unavailable
            && nowhere.detail.starts_with("cannot connect: no address"),
        "{nowhere}"
    );
}

#[test]
fn families_alternate_beginning_with_the_first() {
    let four = |last| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 1));
    let six = |last| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 1));
    assert_eq!(
        interleave(&[six(1), six(2), six(3), four(1), four(2)]),
        [six(1), four(1), six(2), four(2), six(3)]
    );
    assert_eq!(
        interleave(&[four(1), six(1), four(2), four(1), four(3)]),
        [four(1), six(1), four(2), four(3)]
    );
    let many: Vec<SocketAddr> = (0..200).map(four).chain((0..200).map(six)).collect();
    assert_eq!(interleave(&many).len(), MAX_ADDRESSES);
}
