use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;

use countersign_connect::transport::Socket;

use super::{InheritedSocket, bind};
use crate::settings::{Access, Listen};

#[tokio::test]
async fn a_socket_is_its_owner_s_alone_unless_users_are_named() {
    let directory = tempfile::tempdir().unwrap();
    for (access, mode) in [(Access::Open, 0o600), (Access::Users(vec![1]), 0o666)] {
        let path = directory.path().join(format!("{mode:o}"));
        let _listener = bind(&Listen::Unix(path.clone()), &access, &mut Vec::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        UnixStream::connect(&path).unwrap();
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
}

#[tokio::test]
async fn only_a_socket_that_nobody_listens_on_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listen = Listen::Unix(path.clone());
    let first = bind(&listen, &Access::Open, &mut Vec::new()).unwrap();
    let refused = bind(&listen, &Access::Open, &mut Vec::new()).unwrap_err();
    assert!(refused.detail.contains("choose another address"), "{}", refused.detail);
    drop(first);
    bind(&listen, &Access::Open, &mut Vec::new()).unwrap();

    let file = directory.path().join("file");
    fs::write(&file, "kept").unwrap();
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    for path in [file.clone(), link] {
        let refused = bind(&Listen::Unix(path), &Access::Open, &mut Vec::new()).unwrap_err();
        assert!(refused.detail.contains("not a socket"), "{}", refused.detail);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test]
async fn what_was_inherited_is_taken_by_name_or_by_place() {
    let any = Listen::Tcp("127.0.0.1:0".parse().unwrap());
    let before = bind(&any, &Access::Open, &mut Vec::new()).unwrap();
    let here = before.listen().unwrap();
    let inherit = || InheritedSocket {
        name: "orders".to_owned(),
        listen: here.clone(),
        socket: before.duplicate().unwrap(),
    };
    for listen in [Listen::Activated("orders".to_owned()), here.clone()] {
        let mut inherited = vec![inherit()];
        let listener = bind(&listen, &Access::Open, &mut inherited).unwrap();
        assert!(inherited.is_empty());
        assert_eq!(listener.listen().unwrap(), here);
    }
    let refused =
        bind(&Listen::Activated("billing".to_owned()), &Access::Open, &mut vec![inherit()])
            .unwrap_err();
    assert!(refused.detail.contains("FileDescriptorName=billing"), "{}", refused.detail);
    let taken = bind(&here, &Access::Open, &mut Vec::new()).unwrap_err();
    assert!(taken.detail.contains("choose another address"), "{}", taken.detail);
}

#[tokio::test]
async fn clients_have_the_options_of_the_socket_that_they_came_by() {
    let fresh =
        bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap()), &Access::Open, &mut Vec::new()).unwrap();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let handed = InheritedSocket {
        name: "orders".to_owned(),
        listen: Listen::Activated("orders".to_owned()),
        socket: plain.into(),
    };
    let inherited =
        bind(&Listen::Activated("orders".to_owned()), &Access::Open, &mut vec![handed]).unwrap();
    for listener in [fresh, inherited] {
        let _client = std::net::TcpStream::connect(listener.place()).unwrap();
        let accepted = listener.accept().await.unwrap();
        let Socket::Tcp(stream) = &accepted.socket else { panic!("{:?}", accepted.socket) };
        let options = socket2::SockRef::from(stream);
        assert!(stream.nodelay().unwrap() && options.keepalive().unwrap());
    }
}
