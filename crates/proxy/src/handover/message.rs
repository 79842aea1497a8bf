//! The message that transfers sockets and their descriptions.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use countersign_core::failure::{Class, Failure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;

use super::io::{disconnected, unexpected};
use crate::inherited::InheritedSocket;
use crate::settings::Listen;

/// Maximum number of sockets, which the kernel limits for one message. Source: unix(7),
/// `SCM_MAX_FD`.
pub(super) const MAX_SOCKETS: usize = 253;

/// Maximum size of the descriptions in bytes. The path of a Unix socket takes about a hundred.
const MAX_DESCRIPTIONS: usize = 256 * 1024;

/// Size of the header: the length of the descriptions, in network byte order.
const HEADER: usize = 4;

/// Description of a transferred socket.
#[derive(Debug, Serialize, Deserialize)]
struct SocketDescriptor {
    name: String,
    listen: ListenDescriptor,
}

/// Serialized form of [`Listen`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListenDescriptor {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Activated(String),
}

impl From<&Listen> for ListenDescriptor {
    fn from(listen: &Listen) -> Self {
        match listen {
            Listen::Tcp(address) => Self::Tcp(*address),
            Listen::Unix(path) => Self::Unix(path.clone()),
            Listen::Activated(name) => Self::Activated(name.clone()),
        }
    }
}

impl From<ListenDescriptor> for Listen {
    fn from(descriptor: ListenDescriptor) -> Self {
        match descriptor {
            ListenDescriptor::Tcp(address) => Self::Tcp(address),
            ListenDescriptor::Unix(path) => Self::Unix(path),
            ListenDescriptor::Activated(name) => Self::Activated(name),
        }
    }
}

pub(super) async fn send(stream: &UnixStream, sockets: &[InheritedSocket]) -> Result<(), Failure> {
    let message = encode(sockets)?;
    let fds: Vec<BorrowedFd> = sockets.iter().map(|socket| socket.socket.as_fd()).collect();
    let send_first = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?)
    };
    let sent = stream.async_io(Interest::WRITABLE, send_first).await;
    let sent = sent.map_err(|error| disconnected(&error))?;
    let mut rest = message.get(sent..).unwrap_or_default();
    while !rest.is_empty() {
        stream.writable().await.map_err(|error| disconnected(&error))?;
        match stream.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(disconnected(&error)),
        }
    }
    Ok(())
}

fn encode(sockets: &[InheritedSocket]) -> Result<Vec<u8>, Failure> {
    let refuse = |cause: String| {
        Failure::new(Class::Configuration, format!("cannot hand over the listeners: {cause}"))
    };
    if sockets.len() > MAX_SOCKETS {
        let count = sockets.len();
        return Err(refuse(format!("there are {count}; the maximum is {MAX_SOCKETS}")));
    }
    let descriptors = sockets.iter().map(|socket| SocketDescriptor {
        name: socket.name.clone(),
        listen: ListenDescriptor::from(&socket.listen),
    });
    let list = serde_json::to_vec(&descriptors.collect::<Vec<_>>())
        .map_err(|error| refuse(error.to_string()))?;
    let length = u32::try_from(list.len()).ok().filter(|_| list.len() <= MAX_DESCRIPTIONS);
    let length =
        length.ok_or_else(|| refuse(format!("their names exceed {MAX_DESCRIPTIONS} bytes")))?;
    Ok([length.to_be_bytes().as_slice(), &list].concat())
}

pub(super) async fn receive(stream: &mut UnixStream) -> Result<Vec<InheritedSocket>, Failure> {
    let mut header = [0; HEADER];
    let mut sockets = Vec::new();
    let received = stream
        .async_io(Interest::READABLE, || receive_sockets(&*stream, &mut header, &mut sockets))
        .await
        .map_err(|error| disconnected(&error))?;
    if received == 0 {
        return Err(disconnected(&io::ErrorKind::UnexpectedEof.into()));
    }
    let rest = header.get_mut(received..).unwrap_or_default();
    stream.read_exact(rest).await.map_err(|error| disconnected(&error))?;
    let length = usize::try_from(u32::from_be_bytes(header)).ok();
    let length = length
        .filter(|length| *length <= MAX_DESCRIPTIONS)
        .ok_or_else(|| unexpected("the list of sockets is too long"))?;
    let mut list = vec![0; length];
    stream.read_exact(&mut list).await.map_err(|error| disconnected(&error))?;
    let descriptors: Vec<SocketDescriptor> = serde_json::from_slice(&list)
        .map_err(|error| unexpected(&format!("the list of sockets is malformed: {error}")))?;
    if descriptors.len() != sockets.len() {
        let (listed, sent) = (descriptors.len(), sockets.len());
        return Err(unexpected(&format!("it lists {listed} sockets, but sent {sent}")));
    }
    let described = descriptors.into_iter().zip(sockets);
    described
        .map(|(descriptor, socket)| {
            InheritedSocket::checked(descriptor.name, descriptor.listen.into(), socket)
        })
        .collect()
}

/// Receives the first bytes, and the sockets that are attached to them.
fn receive_sockets(
    stream: &UnixStream,
    header: &mut [u8; HEADER],
    sockets: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(header)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        let detail = "not all sockets were received; raise the limit of open files";
        return Err(io::Error::other(detail));
    }
    Ok(received.bytes)
}
