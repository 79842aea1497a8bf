use std::env;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use super::*;

/// What a process that was started by systemd says of its sockets: the test below starts this one as systemd would.
#[test]
#[ignore = "it is run by another test, with sockets"]
fn child() {
    let (count, names) = (env::var("LISTEN_FDS").ok(), env::var("LISTEN_FDNAMES").ok());
    match inherited(count.as_deref(), names.as_deref()) {
        Ok(sockets) => {
            println!("took {} sockets", sockets.len());
            for socket in sockets {
                let at = crate::inherited::bound(&socket.socket).expect("an address");
                println!("{} {at:?}", socket.name);
                if matches!(at, Listen::Tcp(_)) {
                    TcpListener::from(socket.socket).accept().expect("a connection");
                }
            }
        }
        Err(failure) => println!("{failure}"),
    }
    assert!(
        env::var_os("LISTEN_FDS").is_none_or(|count| count == "many"),
        "children would take it for their own"
    );
}

/// Runs `child` with `one` as descriptor 3 and `two` as 4, as systemd does: after the fork, the number of the process is known.
fn start(one: OwnedFd, two: OwnedFd, environment: &str) -> String {
    let script = format!(
        "exec 3<&0 4>&1 1>&2; {environment} exec \"$0\" --exact activation::tests::child --ignored --nocapture"
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .arg(env::current_exe().expect("this test"))
        .stdin(Stdio::from(one))
        .stdout(Stdio::from(two));
    let said = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
        .wait_with_output()
        .expect("its output");
    String::from_utf8_lossy(&said.stderr).into_owned()
}

#[test]
fn systemds_sockets_are_taken_with_their_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let (tcp, unix) = (
        TcpListener::bind("127.0.0.1:0").expect("TCP"),
        UnixListener::bind(&path).expect("a Unix socket"),
    );
    let address = tcp.local_addr().expect("an address");
    let _client = TcpStream::connect(address).expect("a connection that waits in the queue");
    let said =
        start(tcp.into(), unix.into(), "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=orders:billing");
    assert!(said.contains("took 2 sockets"), "{said}");
    assert!(said.contains(&format!("orders Tcp({address})")), "{said}");
    assert!(said.contains(&format!("billing Unix({path:?})")), "{said}");
}

#[test]
fn what_is_for_others_or_no_socket_is_left_alone() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("TCP"));
    let file = || OwnedFd::from(tempfile::tempfile().expect("a file"));
    let said = start(listener(), listener(), "LISTEN_PID=1 LISTEN_FDS=2");
    assert!(said.contains("took 0 sockets"), "{said}");
    let said = start(file(), listener(), "LISTEN_PID=$$ LISTEN_FDS=2");
    assert!(said.contains("can't be used"), "{said}");
    let said = start(listener(), listener(), "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=orders");
    assert!(said.contains("LISTEN_FDNAMES names 1"), "{said}");
    let said = start(listener(), listener(), "LISTEN_PID=$$ LISTEN_FDS=many");
    assert!(said.contains("has to be a number"), "{said}");
}

#[test]
fn a_process_that_was_started_otherwise_has_none() {
    assert!(inherited(None, Some("orders")).expect("nothing").is_empty());
}
