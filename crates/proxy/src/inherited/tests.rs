use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

fn checked(socket: impl Into<OwnedFd>) -> Result<InheritedSocket, Failure> {
    InheritedSocket::checked(
        "orders".to_owned(),
        Listen::Activated("orders".to_owned()),
        socket.into(),
    )
}

#[test]
fn only_what_listens_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let stream =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let refusal = checked(stream).expect_err("a connection is no listener");
    assert!(refusal.detail.contains("does not listen"), "{refusal}");
    let (one, _other) = UnixStream::pair().expect("a pair");
    checked(one).expect_err("a pair is no listener");
    let file = tempfile::tempfile().expect("a file");
    let refusal = checked(file).expect_err("a file is no listener");
    assert!(refusal.detail.contains("is none"), "{refusal}");
    checked(listener).expect("a listener");
}

#[test]
fn a_socket_says_where_it_is_bound() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    assert_eq!(
        bound(UnixListener::bind(&path).expect("a listener")).expect("a path"),
        Listen::Unix(path)
    );
    let listener = TcpListener::bind("[::1]:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    assert_eq!(bound(&listener).expect("an address"), Listen::Tcp(address));
}
