//! Binding of listening sockets, or their adoption from another process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::listener::Listener;
use crate::inherited::InheritedSocket;
use crate::settings::{ClientAuth, Listen};

/// Length of the accept queue. The system's limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// Keepalive of client connections, so that a client that vanished releases its server
/// connection.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Takes the socket for `listen` out of `inherited`, or binds a new one.
pub(super) fn bind(
    listen: &Listen,
    client_auth: &ClientAuth,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Listener, Failure> {
    let bound = match inherited.iter().position(|socket| is_for(listen, socket)) {
        Some(index) => from_inherited(inherited.swap_remove(index)),
        None => match listen {
            Listen::Tcp(address) => bind_tcp(*address),
            Listen::Unix(path) => bind_unix(path, client_auth),
            Listen::Activated(name) => {
                let detail = format!(
                    "no inherited socket is named {name:?}; name it in the socket unit \
                     (FileDescriptorName={name})"
                );
                return Err(Failure::new(Class::Configuration, detail));
            }
        },
    };
    bound.map_err(|error| bind_failure(listen, &error))
}

fn is_for(listen: &Listen, inherited: &InheritedSocket) -> bool {
    match listen {
        Listen::Activated(name) => inherited.name == *name,
        listen => inherited.listen == *listen,
    }
}

fn bind_failure(listen: &Listen, error: &io::Error) -> Failure {
    let remedy = match (error.kind(), listen) {
        (io::ErrorKind::AddrInUse, _) => "; choose another address, or stop the other process",
        (io::ErrorKind::PermissionDenied, Listen::Tcp(_)) => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::PermissionDenied, _) => "; choose a directory that you can write to",
        _ => "",
    };
    Failure::new(Class::Configuration, format!("cannot listen on {listen}: {error}{remedy}"))
}

fn from_inherited(inherited: InheritedSocket) -> io::Result<Listener> {
    let socket = Socket::from(inherited.socket);
    let path = match inherited.listen {
        // The system reports the name before the rename by which the proxy placed the socket.
        Listen::Unix(path) => Some(path),
        Listen::Tcp(_) | Listen::Activated(_) => {
            socket.local_addr()?.as_pathname().map(Path::to_owned)
        }
    };
    match path {
        Some(path) => unix_listener(socket, path),
        None => tcp_listener(socket),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    tcp_listener(socket)
}

/// Sets the options that accepted sockets inherit on Linux.
fn tcp_listener(socket: Socket) -> io::Result<Listener> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

/// Binds a Unix socket for its owner, or for all users if the proxy checks their uids.
fn bind_unix(path: &Path, client_auth: &ClientAuth) -> io::Result<Listener> {
    let is_public = matches!(client_auth, ClientAuth::Users(_));
    ensure_parent_dir(path, if is_public { 0o755 } else { 0o700 })?;
    let mode = if is_public { 0o666 } else { 0o600 };
    unix_listener(countersign_unix_socket::bind(path, mode, None)?.into(), path.to_owned())
}

fn unix_listener(socket: Socket, path: PathBuf) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    Ok(Listener::Unix(UnixListener::from_std(socket.into())?, path))
}

/// Creates the directory of a socket, not its ancestors. PostgreSQL clients look for a socket in
/// a directory of its own.
fn ensure_parent_dir(path: &Path, mode: u32) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
    else {
        return Ok(());
    };
    match fs::DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
