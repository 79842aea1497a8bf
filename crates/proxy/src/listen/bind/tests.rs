use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;

use countersign_connect::transport::Socket;

use super::*;

fn bind_new(listen: &Listen) -> Result<Listener, Failure> {
    bind(listen, &ClientAuth::Trust, &mut Vec::new())
}

fn free_port() -> Listen {
    Listen::Tcp("127.0.0.1:0".parse().unwrap())
}

#[tokio::test]
async fn sockets_are_private_to_their_owner_unless_users_are_configured() {
    let directory = tempfile::tempdir().unwrap();
    for (auth, mode) in [(ClientAuth::Trust, 0o600), (ClientAuth::Users(vec![1]), 0o666)] {
        let path = directory.path().join(format!("{mode:o}"));
        let _listener = bind(&Listen::Unix(path.clone()), &auth, &mut Vec::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        UnixStream::connect(&path).unwrap();
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "no other file is left");
}

#[tokio::test]
async fn only_stale_sockets_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listen = Listen::Unix(path.clone());
    let first = bind_new(&listen).unwrap();
    let failure = bind_new(&listen).unwrap_err();
    assert!(failure.detail.contains("choose another address"), "{}", failure.detail);
    drop(first);
    bind_new(&listen).unwrap();

    let file = directory.path().join("file");
    fs::write(&file, "kept").unwrap();
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    for path in [file.clone(), link] {
        let failure = bind_new(&Listen::Unix(path)).unwrap_err();
        assert!(failure.detail.contains("not a socket"), "{}", failure.detail);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test]
async fn inherited_sockets_are_found_by_name_or_by_address() {
    let first = bind_new(&free_port()).unwrap();
    let address = first.local_addr().unwrap();
    let inherit = || InheritedSocket {
        name: "orders".to_owned(),
        listen: address.clone(),
        socket: first.duplicate().unwrap(),
    };
    for listen in [Listen::Activated("orders".to_owned()), address.clone()] {
        let mut inherited = vec![inherit()];
        let listener = bind(&listen, &ClientAuth::Trust, &mut inherited).unwrap();
        assert!(inherited.is_empty());
        assert_eq!(listener.local_addr().unwrap(), address);
    }
    let billing = Listen::Activated("billing".to_owned());
    let failure = bind(&billing, &ClientAuth::Trust, &mut vec![inherit()]).unwrap_err();
    assert!(failure.detail.contains("FileDescriptorName=billing"), "{}", failure.detail);
    let failure = bind_new(&address).unwrap_err();
    assert!(failure.detail.contains("choose another address"), "{}", failure.detail);
}

#[tokio::test]
async fn accepted_sockets_have_nodelay_and_keepalive() {
    let bound = bind_new(&free_port()).unwrap();
    let orders = Listen::Activated("orders".to_owned());
    let activated = InheritedSocket {
        name: "orders".to_owned(),
        listen: orders.clone(),
        socket: std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(),
    };
    let inherited = bind(&orders, &ClientAuth::Trust, &mut vec![activated]).unwrap();
    for listener in [bound, inherited] {
        let Listen::Tcp(address) = listener.local_addr().unwrap() else { panic!("{listener:?}") };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let accepted = listener.accept().await.unwrap();
        let Socket::Tcp(stream) = &accepted.socket else { panic!("{:?}", accepted.socket) };
        let options = socket2::SockRef::from(stream);
        assert!(stream.nodelay().unwrap() && options.keepalive().unwrap());
    }
}
