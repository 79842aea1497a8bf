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

/// Where nobody listens: the port was free a moment ago, and stays bound.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Where a connection gets no answer: a listener whose queue is full, which Linux lets wait.
fn silent() -> (Vec<Socket>, SocketAddr) {
    let (listener, address) = refusing();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..3 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // Under way, or in the queue: either fills it.
        let _under_way = filler.connect(&address.into());
        sockets.push(filler);
    }
    (sockets, address)
}

#[tokio::test]
async fn the_next_address_is_tried_as_soon_as_one_refuses() {
    let (_held, refusing) = refusing();
    let (_listener, address) = listener().await;
    let start = Instant::now();
    let stream = connect(&[refusing, address], soon()).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    assert!(start.elapsed() < ATTEMPT_DELAY, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_does_not_wait_and_is_probed() {
    let (_listener, address) = listener().await;
    let stream = connect(&[address], soon()).await.unwrap();
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
}

#[tokio::test]
async fn an_address_without_an_answer_holds_nobody_up() {
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
async fn the_deadline_is_kept_and_says_what_was_tried() {
    let (_held, silent) = silent();
    let (_other, refusing) = refusing();
    let start = Instant::now();
    let failure = connect(&[silent, refusing], start + Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((failure.class, start.elapsed().as_secs()), (Class::TimedOut, 3));
    let said = format!(
        "{refusing}: Connection refused (os error 111); {silent}: no answer; check the address"
    );
    assert!(failure.detail.starts_with(&said), "{failure}");
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_not_the_addresses_fault() {
    let (_listener, address) = listener().await;
    let failure = connect(&[address], Instant::now()).await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.starts_with("no time was left to connect"), "{failure}");
}

#[tokio::test]
async fn where_all_refuse_each_is_named() {
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
        nowhere.class == Class::Unavailable && nowhere.detail.starts_with("there is no address"),
        "{nowhere}"
    );
}

#[test]
fn families_take_turns_beginning_with_the_first() {
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
    assert_eq!(interleave(&many).len(), MOST_ADDRESSES);
}
