//! Listening sockets: bound, or taken over from whoever had them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::Listener;
use crate::inherited::InheritedSocket;
use crate::settings::{Access, Listen};

/// How many clients may wait to be accepted; the system's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// When a silent client is probed first, and how often then: one that vanished gives its session back.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// A listening socket as `listen` has it: one of those inherited, or a new one.
pub(crate) fn bind(
    listen: &Listen,
    access: &Access,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Listener, Failure> {
    if let Some(at) = inherited.iter().position(|one| is_meant(listen, one)) {
        return from_inherited(inherited.swap_remove(at)).map_err(|error| refused(listen, &error));
    }
    match listen {
        Listen::Tcp(address) => tcp(*address).map_err(|error| refused(listen, &error)),
        Listen::Unix(path) => unix(path, access).map_err(|error| refused(listen, &error)),
        Listen::Activated(name) => Err(Failure::new(
            Class::Configuration,
            format!(
                "nobody handed over a socket named {name:?}: name it in the socket unit (FileDescriptorName={name})"
            ),
        )),
    }
}

fn is_meant(listen: &Listen, inherited: &InheritedSocket) -> bool {
    match listen {
        Listen::Activated(name) => inherited.name == *name,
        listen => inherited.listen == *listen,
    }
}

fn refused(listen: &Listen, error: &io::Error) -> Failure {
    let place = match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Activated(name) => format!("the socket {name:?}"),
    };
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another address, or stop that process",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024, and other people's directories, are not everybody's"
        }
        _ => "",
    };
    Failure::new(
        Class::Configuration,
        format!("nobody can be taken in at {place}: {error}{advice}"),
    )
}

fn from_inherited(inherited: InheritedSocket) -> io::Result<Listener> {
    let socket = Socket::from(inherited.socket);
    let path = match inherited.listen {
        // What a proxy bound has another name by now than the system remembers.
        Listen::Unix(path) => Some(path),
        Listen::Tcp(_) | Listen::Activated(_) => {
            socket.local_addr()?.as_pathname().map(Path::to_owned)
        }
    };
    match path {
        Some(path) => listening(socket, path),
        None => with_socket_options(socket),
    }
}

/// With the options that its clients' sockets shall have: on Linux they have those of the socket that they came by.
fn with_socket_options(socket: Socket) -> io::Result<Listener> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

fn tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    with_socket_options(socket)
}

/// A Unix socket. Every user can connect if users are named: the system reports who connects.
fn unix(path: &Path, access: &Access) -> io::Result<Listener> {
    ensure_parent_dir(path, access)?;
    let mode = if matches!(access, Access::Users(_)) { 0o666 } else { 0o600 };
    listening(countersign_unix_socket::bind(path, mode, None)?.into(), path.to_owned())
}

fn listening(socket: Socket, path: PathBuf) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    Ok(Listener::Unix(UnixListener::from_std(socket.into())?, path))
}

/// The directory of a socket, where it is the only one that is missing: clients of PostgreSQL look for a socket in a directory of
/// its own.
fn ensure_parent_dir(path: &Path, access: &Access) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let mode = if matches!(access, Access::Users(_)) { 0o755 } else { 0o700 };
    match fs::DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
