//! Malicious clients: other clients are served meanwhile, and the proxy's memory stays bounded.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use countersign_core::name::Engine;
use countersign_e2e::{PATIENCE, Proxy, ProxyFixture, ServerKind, Stack, protocols, wait_until};

/// Maximum growth of the proxy's memory in KiB. The allocator retains a part of the memory that
/// thousands of simultaneous connections used; retaining ten thousand whole connections would
/// exceed the limit.
const GROWTH: u64 = 24 * 1024;

fn start_proxy(kind: ServerKind, arguments: &[&str]) -> (Stack, ProxyFixture, Proxy, SocketAddr) {
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let mut command = site.command(&stack, arguments);
    site.write(
        "countersign.toml",
        &stack.target(
            "db",
            &["user = \"app\"", "pool = { min-idle = 1, reuse = true }", "logins-per-second = 0"],
        ),
    );
    let proxy = site.start(command.env("COUNTERSIGN_LOG", "error"));
    let address = SocketAddr::from((site.address(), kind.engine().default_port()));
    assert!(site.login(kind, "app").ok);
    (stack, site, proxy, address)
}

/// Deterministic pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let count = self.next() % most;
        (0..count).map(|_| u8::try_from(self.next() & 255).unwrap()).collect()
    }
}

/// Returns the first bytes of a malicious client; `number` selects the kind.
fn garbage(engine: Engine, number: u32, random: &mut Random) -> Vec<u8> {
    let length = |length: u32| {
        if engine == Engine::Postgres { length.to_be_bytes() } else { length.to_le_bytes() }
    };
    match number % 8 {
        0 => b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(),
        // An unexpected ClientHello.
        1 => [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &random.bytes(600)]
            .concat(),
        2 => length(u32::MAX).to_vec(),
        3 => [length(0x7fff_ffff).as_slice(), &random.bytes(4_000)].concat(),
        4 => length(0).to_vec(),
        // SSLRequest, then bytes that are not TLS.
        5 => [&8_u32.to_be_bytes(), &80_877_103_u32.to_be_bytes(), random.bytes(100).as_slice()]
            .concat(),
        6 => Vec::new(),
        _ => random.bytes(2_000),
    }
}

#[test]
fn ten_thousand_garbage_connections_do_not_block_logins() {
    for kind in protocols() {
        let (_stack, site, proxy, address) = start_proxy(kind, &["--login-timeout", "5s"]);
        let before = proxy.memory();
        let mut random = Random(5432);
        for batch in 0..50_u32 {
            let mut attackers: Vec<TcpStream> = Vec::new();
            for number in 0..200 {
                let mut attacker = TcpStream::connect(address).unwrap();
                // The proxy may close the connection before everything is written.
                let _cut = attacker.write_all(&garbage(kind.engine(), number, &mut random));
                attackers.push(attacker);
            }
            if batch % 10 == 0 {
                let output = site.login(kind, "app");
                assert_eq!(output.out, "app", "{output:?}");
            }
        }
        let output = site.login(kind, "app");
        assert_eq!(output.out, "app", "{output:?}");
        let after = proxy.memory();
        assert!(after < before + GROWTH, "{kind:?}: {before} KiB before, {after} KiB after");
        wait_until("the end of all sessions", || {
            site.status()["sessions"].as_array().is_some_and(Vec::is_empty)
        });
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    }
}

#[test]
fn slow_and_silent_clients_are_disconnected_after_the_login_timeout() {
    for kind in protocols() {
        let (_stack, site, proxy, address) = start_proxy(kind, &["--login-timeout", "3s"]);
        let before = proxy.memory();
        // A third sends nothing, a third sends a part of its login, a third sends single bytes.
        let opening: &[u8] = if kind.engine() == Engine::Postgres {
            b"\0\0\0\x20\0\x03\0\0user\0"
        } else {
            b"\x40\0\0\x01\x8d"
        };
        let mut attackers: Vec<TcpStream> = (0..600_usize)
            .map(|number| {
                let mut attacker = TcpStream::connect(address).unwrap();
                attacker.set_read_timeout(Some(PATIENCE)).unwrap();
                if number % 3 > 0 {
                    attacker.write_all(&opening[..number % opening.len()]).unwrap();
                }
                attacker
            })
            .collect();
        let output = site.login(kind, "app");
        assert_eq!(output.out, "app", "{output:?}");
        // Received bytes do not extend the timeout.
        wait_until("the end of all connections", || {
            for attacker in attackers.iter_mut().step_by(3) {
                let _gone = attacker.write(&[0]);
            }
            site.status()["connections"] == 0
        });
        for attacker in &mut attackers {
            assert!(is_closed(attacker), "a connection is still open");
        }
        assert!(
            proxy.memory() < before + GROWTH,
            "{before} KiB before, {} KiB after",
            proxy.memory()
        );
    }
}

/// Returns true if the peer has closed the connection, after reading all that it sent.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut output = [0; 1024];
    loop {
        match stream.read(&mut output) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            }
        }
    }
}

#[test]
fn huge_length_fields_allocate_no_memory() {
    for kind in protocols() {
        let (_stack, site, proxy, address) = start_proxy(kind, &["--login-timeout", "20s"]);
        let before = proxy.memory();
        let mut attackers: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        for attacker in &mut attackers {
            let mut opening = match kind.engine() {
                Engine::Postgres => {
                    [0x3fff_ffff_u32.to_be_bytes(), 0x0003_0000_u32.to_be_bytes()].concat()
                }
                Engine::Mariadb | Engine::Mysql => vec![0xff, 0xff, 0xff, 1],
            };
            opening.resize(64 * 1024, b'x');
            for _ in 0..16 {
                if attacker.write_all(&opening).is_err() {
                    break;
                }
            }
        }
        assert!(
            proxy.memory() < before + GROWTH,
            "{kind:?}: {before} KiB before, {} KiB after",
            proxy.memory()
        );
        assert_eq!(site.login(kind, "app").out, "app");
    }
}

#[test]
fn thousands_of_pending_logins_use_little_memory() {
    let limit =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // This process holds one end of each connection, and the proxy inherits its limit.
    let count = usize::try_from((limit.saturating_sub(200)).min(5_000)).unwrap();
    for kind in protocols() {
        let (_stack, site, proxy, address) = start_proxy(kind, &["--login-timeout", "5m"]);
        let before = proxy.memory();
        let attackers: Vec<TcpStream> =
            (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        wait_until("the accept of all connections", || site.status()["connections"] == count);
        let each = proxy.memory().saturating_sub(before) * 1024 / u64::try_from(count).unwrap();
        assert_eq!(site.login(kind, "app").out, "app");
        // Futures are larger in a debug build.
        let most = if cfg!(debug_assertions) { 24 * 1024 } else { 4 * 1024 };
        assert!(each <= most, "{kind:?}: {each} bytes for each of {count} pending logins");
        drop(attackers);
        wait_until("the end of all connections", || site.status()["connections"] == 0);
    }
}

#[test]
fn half_open_connections_are_closed() {
    for kind in protocols() {
        let (_stack, site, _proxy, address) = start_proxy(kind, &[]);
        let attackers: Vec<TcpStream> = (0..50)
            .map(|_| {
                let attacker = TcpStream::connect(address).unwrap();
                attacker.shutdown(std::net::Shutdown::Write).unwrap();
                attacker.set_read_timeout(Some(PATIENCE)).unwrap();
                attacker
            })
            .collect();
        for mut attacker in attackers {
            assert!(is_closed(&mut attacker));
        }
        wait_until("the end of all connections", || site.status()["connections"] == 0);
    }
}
