//! A database whose DNS name changes its address, as an RDS endpoint does at a failover.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use countersign_e2e::{ClientSession, ProxyFixture, Stack, protocols, wait_until};

use crate::library::Library;

const NAME: &str = "moving.example.com";

/// Starts a name server that returns one address with a TTL of one second for every name. Message
/// format: RFC 1035, section 4.
fn name_server(address: &Arc<Mutex<Ipv4Addr>>) -> SocketAddr {
    const RECORD: [u8; 12] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4];
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (own, address) = (socket.local_addr().unwrap(), Arc::clone(address));
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // The header of twelve bytes is followed by labels, a zero byte, type and class.
            let name = buffer.iter().skip(12).position(|byte| *byte == 0).unwrap();
            let end = 12 + name + 5;
            let is_a = buffer[end - 3] == 1;
            let mut answer = buffer[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                answer.extend(RECORD.into_iter().chain(address.lock().unwrap().octets()));
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    own
}

/// TCP forwarder to the database: an address at which it is reachable.
struct Forwarder {
    listener: TcpListener,
    /// Client and server side of each connection.
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepted: Arc<AtomicUsize>,
}

impl Forwarder {
    fn open(address: Ipv4Addr, port: u16, server: u16) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let forwarder = Self {
            listener: listener.try_clone().unwrap(),
            open: Arc::default(),
            accepted: Arc::default(),
        };
        let (open, accepted) = (Arc::clone(&forwarder.open), Arc::clone(&forwarder.accepted));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepted.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        // Ends both directions, regardless of errors.
                        let _ended = io::copy(&mut from, &mut to);
                        let _gone = to.shutdown(Shutdown::Both);
                    });
                }
                open.lock().unwrap().extend([client, server]);
            }
        });
        forwarder
    }

    /// Returns the number of accepted connections.
    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Closes all connections and the listener.
    fn shut_down(self) {
        // Wakes the thread that accepts, which ends.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn connections_follow_the_address_of_the_database_name() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let env = stack.env(&[]);
        let server = env[kind.variables()[1]].parse().unwrap();
        let [here, there] = [ProxyFixture::default().address(), ProxyFixture::default().address()];
        let old = Forwarder::open(here, 0, server);
        let port = old.listener.local_addr().unwrap().port();
        let new = Forwarder::open(there, port, server);
        let address = Arc::new(Mutex::new(here));
        let _proxy = Library::by_name(&stack, &site, NAME, port, name_server(&address));
        let login = || site.login(kind, "app");
        let output = login();
        assert_eq!(output.out, "app", "{output:?}");
        let mut session = ClientSession::open(kind, &mut site.session(kind, "app"));
        let number = session.server_session();
        assert_eq!(new.accepted(), 0);

        // The name changes while the old address still works: open sessions continue, and later
        // logins use the new address.
        *address.lock().unwrap() = there;
        wait_until("a login at the new address", || login().out == "app" && new.accepted() > 0);
        assert_eq!(session.server_session(), number);

        // The old address fails: its sessions end, as without the proxy, and other clients are not
        // affected.
        old.shut_down();
        session.kill();
        for _ in 0..5 {
            let output = login();
            assert_eq!(output.out, "app", "{output:?}");
        }

        // An unplanned failover: the address fails before the name changes.
        new.shut_down();
        let output = login();
        assert!(!output.ok, "{output:?}");
        let back = Forwarder::open(here, port, server);
        *address.lock().unwrap() = here;
        wait_until("a login at the previous address", || login().out == "app");
        assert!(back.accepted() > 0);
    }
}
