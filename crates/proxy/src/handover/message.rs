//! The one message of a handover that is not a word: sockets, and what they are for.

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

use super::broken;
use crate::inherited::InheritedSocket;
use crate::settings::Listen;

/// How many sockets are handed over at most: as many as one message takes. Source: unix(7), `SCM_MAX_FD`.
pub(super) const MOST: usize = 253;

/// The longest list of what they are for, in bytes: a path of a Unix socket takes a hundred, and the name of a target as it is.
const MOST_BYTES: usize = 256 * 1024;

/// What the message begins with: the length of the list, in network order.
const HEAD: usize = 4;

/// A socket, in words.
#[derive(Debug, Serialize, Deserialize)]
struct SocketDescriptor {
    name: String,
    listen: Place,
}

/// A [`Listen`], in words.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Activated(String),
}

impl From<&Listen> for Place {
    fn from(listen: &Listen) -> Self {
        match listen {
            Listen::Tcp(address) => Self::Tcp(*address),
            Listen::Unix(path) => Self::Unix(path.clone()),
            Listen::Activated(name) => Self::Activated(name.clone()),
        }
    }
}

impl From<Place> for Listen {
    fn from(place: Place) -> Self {
        match place {
            Place::Tcp(address) => Self::Tcp(address),
            Place::Unix(path) => Self::Unix(path),
            Place::Activated(name) => Self::Activated(name),
        }
    }
}

pub(super) async fn send(stream: &UnixStream, sockets: &[InheritedSocket]) -> Result<(), Failure> {
    let message = written(sockets)?;
    let fds: Vec<BorrowedFd> = sockets.iter().map(|socket| socket.socket.as_fd()).collect();
    let first = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?)
    };
    let sent = stream.async_io(Interest::WRITABLE, first).await.map_err(|error| broken(&error))?;
    let mut rest = message.get(sent..).unwrap_or_default();
    while !rest.is_empty() {
        stream.writable().await.map_err(|error| broken(&error))?;
        match stream.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}

fn written(sockets: &[InheritedSocket]) -> Result<Vec<u8>, Failure> {
    let unfit = |why: String| {
        Failure::new(Class::Configuration, format!("the listeners can't be handed over: {why}"))
    };
    if sockets.len() > MOST {
        return Err(unfit(format!("there are {}, and {MOST} is the most", sockets.len())));
    }
    let labels = sockets.iter().map(|socket| SocketDescriptor {
        name: socket.name.clone(),
        listen: Place::from(&socket.listen),
    });
    let list = serde_json::to_vec(&labels.collect::<Vec<_>>())
        .map_err(|error| unfit(error.to_string()))?;
    let length = u32::try_from(list.len()).ok().filter(|_| list.len() <= MOST_BYTES);
    let length =
        length.ok_or_else(|| unfit(format!("their names take more than {MOST_BYTES} bytes")))?;
    Ok([length.to_be_bytes().as_slice(), &list].concat())
}

pub(super) async fn receive(stream: &mut UnixStream) -> Result<Vec<InheritedSocket>, Failure> {
    let mut head = [0; HEAD];
    let mut sockets = Vec::new();
    let first =
        stream.async_io(Interest::READABLE, || open(&*stream, &mut head, &mut sockets)).await;
    let read = first.map_err(|error| broken(&error))?;
    if read == 0 {
        return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
    }
    let rest = head.get_mut(read..).unwrap_or_default();
    stream.read_exact(rest).await.map_err(|error| broken(&error))?;
    let misfit =
        |why: &str| Failure::new(Class::Protocol, format!("the other proxy handed over {why}"));
    let length =
        usize::try_from(u32::from_be_bytes(head)).ok().filter(|length| *length <= MOST_BYTES);
    let mut list = vec![0; length.ok_or_else(|| misfit("a list that is too long"))?];
    stream.read_exact(&mut list).await.map_err(|error| broken(&error))?;
    let labels: Vec<SocketDescriptor> = serde_json::from_slice(&list)
        .map_err(|error| misfit(&format!("a list that can't be read: {error}")))?;
    if labels.len() != sockets.len() {
        return Err(misfit(&format!("{} sockets, and names for {}", sockets.len(), labels.len())));
    }
    let named = labels.into_iter().zip(sockets);
    named
        .map(|(label, socket)| InheritedSocket::checked(label.name, label.listen.into(), socket))
        .collect()
}

/// The first bytes, and the sockets that come with them.
fn open(
    stream: &UnixStream,
    head: &mut [u8; HEAD],
    sockets: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(head)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "not all of its sockets could be taken; the limit of open files may be too low",
        ));
    }
    Ok(received.bytes)
}
