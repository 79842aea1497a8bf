//! A TCP relay in front of a server, under a name and an address that are not in the certificate.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;

/// Loopback address that the certificate does not contain.
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Name of `::1` on many machines, which the certificate does not contain.
const OTHER_NAME: &str = "ip6-localhost";

/// Host name of the machine, which often resolves to a loopback address.
const OWN_NAME: &str = "/proc/sys/kernel/hostname";

/// Starts the relay. It runs as long as the process.
pub(crate) struct Relay {
    address: u16,
    name: Option<(String, u16)>,
}

impl Relay {
    pub(crate) fn to(server: u16) -> Self {
        let address = listen(OTHER_ADDRESS.into(), server).expect("127.0.0.2 can be listened on");
        let own = std::fs::read_to_string(OWN_NAME).unwrap_or_default();
        let names = [own.trim(), OTHER_NAME]
            .into_iter()
            .filter(|name| !name.is_empty() && *name != "localhost");
        let name = names
            .into_iter()
            .find_map(|name| Some((name.to_owned(), listen(loopback(name)?, server).ok()?)));
        Self { address, name }
    }

    /// Host and port under the other address.
    pub(crate) fn other_address(&self) -> (String, u16) {
        (OTHER_ADDRESS.to_string(), self.address)
    }

    /// Host and port under the other name, if this machine has one.
    pub(crate) fn other_name(&self) -> Option<(String, u16)> {
        self.name.clone()
    }
}

/// Resolves a name, if it is a loopback address.
fn loopback(name: &str) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> =
        (name, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
    addresses.iter().all(IpAddr::is_loopback).then(|| addresses.first().copied()).flatten()
}

fn listen(address: IpAddr, server: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                pass_on(&client, &server);
                pass_on(&server, &client);
            }
        }
    });
    Ok(port)
}

/// Copies one direction to its end on a thread.
fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) =
        (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        // Either side may be closed already.
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    });
}
