//! A database whose name moves, as RDS moves the name of an endpoint when it fails over.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use countersign_e2e::{ClientSession, ProxyFixture, Stack, protocols, wait_until};

use crate::library::Library;

const NAME: &str = "moving.example.com";

/// A name server that has one address for every name, for a second. Its questions and answers: RFC 1035, section 4.
fn name_server(address: &Arc<Mutex<Ipv4Addr>>) -> SocketAddr {
    const RECORD: [u8; 12] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4];
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (own, address) = (socket.local_addr().unwrap(), Arc::clone(address));
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // Behind the head of twelve bytes: labels, a zero, the type and the class.
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

/// Where the database can be reached: everything is passed on to it.
struct Place {
    listener: TcpListener,
    /// Both ends of what it has passed on.
    open: Arc<Mutex<Vec<TcpStream>>>,
    taken: Arc<AtomicUsize>,
}

impl Place {
    fn open(address: Ipv4Addr, port: u16, server: u16) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let place = Self {
            listener: listener.try_clone().unwrap(),
            open: Arc::default(),
            taken: Arc::default(),
        };
        let (open, taken) = (Arc::clone(&place.open), Arc::clone(&place.taken));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                taken.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        // However that ended, it is over.
                        let _ended = io::copy(&mut from, &mut to);
                        let _gone = to.shutdown(Shutdown::Both);
                    });
                }
                open.lock().unwrap().extend([client, server]);
            }
        });
        place
    }

    /// How many connections it has taken.
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Nobody is there any more: whoever was connected is cut off, and nobody else is let in.
    fn vanish(self) {
        // Wakes the thread that accepts, which ends.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn clients_follow_a_database_whose_name_moves() {
    for way in protocols() {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let env = stack.env(&[]);
        let server = env[way.variables()[1]].parse().unwrap();
        let [here, there] = [ProxyFixture::default().address(), ProxyFixture::default().address()];
        let old = Place::open(here, 0, server);
        let port = old.listener.local_addr().unwrap().port();
        let new = Place::open(there, port, server);
        let address = Arc::new(Mutex::new(here));
        let _proxy = Library::by_name(&stack, &site, NAME, port, name_server(&address));
        let login = || site.login(way, "app");
        let said = login();
        assert_eq!(said.out, "app", "{said:?}");
        let mut session = ClientSession::open(way, &mut site.session(way, "app"));
        let number = session.server_session();
        assert_eq!(new.taken(), 0);

        // The name moves, and what it meant before is still there: sessions go on, later logins go where the name is.
        *address.lock().unwrap() = there;
        wait_until("a login at the new place", || login().out == "app" && new.taken() > 0);
        assert_eq!(session.server_session(), number);

        // The old place goes: who was there is cut off, as without the proxy, and nobody else notices.
        old.vanish();
        session.kill();
        for _ in 0..5 {
            let said = login();
            assert_eq!(said.out, "app", "{said:?}");
        }

        // A failover that nobody was told of: it is gone first, and the name moves then.
        new.vanish();
        let said = login();
        assert!(!said.ok, "{said:?}");
        let back = Place::open(here, port, server);
        *address.lock().unwrap() = here;
        wait_until("a login at the place that it has moved back to", || login().out == "app");
        assert!(back.taken() > 0);
    }
}
