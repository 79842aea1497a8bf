//! Socket activation: listening sockets that systemd made before it started us.
//!
//! The protocol is that of sd_listen_fds(3). `listenfd` is what makes owners of the descriptors: no safe code of ours can.

use std::os::fd::OwnedFd;

use countersign_core::failure::{Class, Failure, quoted};
use listenfd::ListenFd;

use crate::inherited::InheritedSocket;
use crate::settings::Listen;

/// How many sockets are taken at most. systemd's own limit is far above what a proxy listens on.
const MOST: usize = 1024;

/// What systemd says of them when it gives none a name: the default of `FileDescriptorName=` aside.
const UNNAMED: &str = "unknown";

/// The sockets that this process was started with; none where it was started otherwise. `count` and `names` are what `LISTEN_FDS`
/// and `LISTEN_FDNAMES` hold.
///
/// Has to be called once, before there are other threads: `LISTEN_PID` and `LISTEN_FDS` are removed from the environment, so that
/// no child takes them for its own.
///
/// # Errors
/// [`Class::Configuration`] where the variables are not as systemd makes them, or a descriptor is not a listening stream socket.
pub fn inherited(
    count: Option<&str>,
    names: Option<&str>,
) -> Result<Vec<InheritedSocket>, Failure> {
    let Some(count) = count else {
        return Ok(Vec::new());
    };
    let sane = count.parse::<usize>().ok().filter(|count| *count <= MOST);
    let wrong = |what: String| Failure::new(Class::Configuration, what);
    let count = sane.ok_or_else(|| {
        wrong(format!("LISTEN_FDS is {}, and has to be a number up to {MOST}", quoted(count)))
    })?;
    let names = named(names, count)?;
    let mut given = ListenFd::from_env();
    // LISTEN_PID is somebody else's: the sockets are too.
    if given.len() == 0 {
        return Ok(Vec::new());
    }
    names.into_iter().enumerate().map(|(place, name)| take(&mut given, place, name)).collect()
}

fn take(given: &mut ListenFd, place: usize, name: String) -> Result<InheritedSocket, Failure> {
    // One that is not TCP stays in its place, and is tried as the other kind.
    let taken = match given.take_tcp_listener(place) {
        Ok(taken) => Ok(taken.map(OwnedFd::from)),
        Err(_) => given.take_unix_listener(place).map(|taken| taken.map(OwnedFd::from)),
    };
    let unusable = |why: String| {
        Failure::new(
            Class::Configuration,
            format!("the socket {name:?} that systemd handed over can't be used: {why}"),
        )
    };
    let socket = taken
        .map_err(|error| unusable(format!("{error}, nor a TCP one")))?
        .ok_or_else(|| unusable("it is not there".to_owned()))?;
    InheritedSocket::checked(name.clone(), Listen::Activated(name), socket)
}

/// A name for each of the sockets.
fn named(names: Option<&str>, count: usize) -> Result<Vec<String>, Failure> {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Ok(vec![UNNAMED.to_owned(); count]);
    };
    let names: Vec<String> = names.split(':').map(str::to_owned).collect();
    if names.len() != count {
        let detail = format!(
            "LISTEN_FDS says that there are {count} sockets, LISTEN_FDNAMES names {}",
            names.len()
        );
        return Err(Failure::new(Class::Configuration, detail));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
