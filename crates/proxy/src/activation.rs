//! Socket activation: listening sockets that systemd creates before it starts the proxy.
//!
//! The protocol is that of sd_listen_fds(3). The crate `listenfd` converts the descriptors to
//! owned ones, which needs unsafe code.

use std::os::fd::OwnedFd;

use countersign_core::failure::{Class, Failure, quoted};
use listenfd::ListenFd;

use crate::inherited::InheritedSocket;
use crate::settings::Listen;

/// Maximum number of sockets. systemd's own limit is far above what a proxy listens on.
const MAX_SOCKETS: usize = 1024;

/// Name that systemd gives to sockets without `FileDescriptorName=`.
const UNNAMED: &str = "unknown";

/// Returns the sockets that systemd passed to this process. `count` and `names` are the values of
/// `LISTEN_FDS` and `LISTEN_FDNAMES`.
///
/// Call it once, before other threads exist: it removes `LISTEN_PID` and `LISTEN_FDS` from the
/// environment, so that child processes do not use them.
///
/// # Errors
/// [`Class::Configuration`] if the variables are malformed, or a descriptor is not a listening
/// stream socket.
pub fn inherited(
    count: Option<&str>,
    names: Option<&str>,
) -> Result<Vec<InheritedSocket>, Failure> {
    let Some(count) = count else {
        return Ok(Vec::new());
    };
    let valid = count.parse::<usize>().ok().filter(|count| *count <= MAX_SOCKETS);
    let count = valid.ok_or_else(|| {
        let count = quoted(count);
        let detail = format!("LISTEN_FDS must be a number up to {MAX_SOCKETS}, not {count}");
        Failure::new(Class::Configuration, detail)
    })?;
    let names = parse_names(names, count)?;
    let mut sockets = ListenFd::from_env();
    // LISTEN_PID names another process: the sockets are for that one.
    if sockets.len() == 0 {
        return Ok(Vec::new());
    }
    names.into_iter().enumerate().map(|(index, name)| take(&mut sockets, index, name)).collect()
}

fn take(sockets: &mut ListenFd, index: usize, name: String) -> Result<InheritedSocket, Failure> {
    // A socket that is not TCP stays in its place, for the second attempt.
    let taken = match sockets.take_tcp_listener(index) {
        Ok(taken) => Ok(taken.map(OwnedFd::from)),
        Err(_) => sockets.take_unix_listener(index).map(|taken| taken.map(OwnedFd::from)),
    };
    let unusable = |cause: String| {
        let detail = format!("cannot use the systemd socket {name:?}: {cause}");
        Failure::new(Class::Configuration, detail)
    };
    let socket = taken
        .map_err(|error| unusable(format!("{error}, nor a TCP socket")))?
        .ok_or_else(|| unusable("it was not passed".to_owned()))?;
    InheritedSocket::checked(name.clone(), Listen::Activated(name), socket)
}

/// Returns one name for each of the sockets.
fn parse_names(names: Option<&str>, count: usize) -> Result<Vec<String>, Failure> {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Ok(vec![UNNAMED.to_owned(); count]);
    };
    let names: Vec<String> = names.split(':').map(str::to_owned).collect();
    if names.len() != count {
        let named = names.len();
        let detail = format!("LISTEN_FDS is {count}, but LISTEN_FDNAMES contains {named} names");
        return Err(Failure::new(Class::Configuration, detail));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    /// Prints the sockets of a process that was started like by systemd: the tests below run it.
    #[test]
    #[ignore = "it is run by other tests, with sockets"]
    fn child() {
        let (count, names) = (env::var("LISTEN_FDS").ok(), env::var("LISTEN_FDNAMES").ok());
        match inherited(count.as_deref(), names.as_deref()) {
            Ok(sockets) => {
                println!("took {} sockets", sockets.len());
                for socket in sockets {
                    let address = crate::inherited::bound(&socket.socket).expect("an address");
                    println!("{} {address:?}", socket.name);
                    if matches!(address, Listen::Tcp(_)) {
                        TcpListener::from(socket.socket).accept().expect("a connection");
                    }
                }
            }
            Err(failure) => println!("{failure}"),
        }
        assert!(
            env::var_os("LISTEN_FDS").is_none_or(|count| count == "many"),
            "child processes would use it"
        );
    }

    /// Runs `child` with the descriptors 3 and 4, as systemd does: the variables are set after
    /// the fork, when the process id is known.
    fn run_child(fd3: OwnedFd, fd4: OwnedFd, environment: &str) -> String {
        let script = format!(
            "exec 3<&0 4>&1 1>&2; {environment} exec \"$0\" \
             --exact activation::tests::child --ignored --nocapture"
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(env::current_exe().expect("this test"))
            .stdin(Stdio::from(fd3))
            .stdout(Stdio::from(fd4))
            .stderr(Stdio::piped())
            .spawn();
        let output = child.expect("a shell").wait_with_output().expect("its output");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn sockets_of_systemd_are_taken_with_their_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a TCP socket");
        let unix = UnixListener::bind(&path).expect("a Unix socket");
        let address = tcp.local_addr().expect("an address");
        let _client = TcpStream::connect(address).expect("a connection in the accept queue");
        let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=orders:billing";
        let output = run_child(tcp.into(), unix.into(), variables);
        assert!(output.contains("took 2 sockets"), "{output}");
        assert!(output.contains(&format!("orders Tcp({address})")), "{output}");
        assert!(output.contains(&format!("billing Unix({path:?})")), "{output}");
    }

    #[test]
    fn descriptors_for_other_processes_and_malformed_ones_are_refused() {
        let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("a TCP socket"));
        let file = || OwnedFd::from(tempfile::tempfile().expect("a file"));
        for (fd3, variables, expected) in [
            (listener(), "LISTEN_PID=1 LISTEN_FDS=2", "took 0 sockets"),
            (file(), "LISTEN_PID=$$ LISTEN_FDS=2", "cannot use the systemd socket"),
            (listener(), "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=orders", "contains 1 names"),
            (listener(), "LISTEN_PID=$$ LISTEN_FDS=many", "must be a number"),
        ] {
            let output = run_child(fd3, listener(), variables);
            assert!(output.contains(expected), "{output}");
        }
    }

    #[test]
    fn a_process_without_the_variables_has_no_sockets() {
        assert!(inherited(None, Some("orders")).expect("no sockets").is_empty());
    }
}
