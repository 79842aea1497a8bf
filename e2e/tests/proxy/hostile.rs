//! Whoever means it ill: others are served all the while, and the proxy stays as big as it is.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use countersign_core::name::Engine;
use countersign_e2e::{PATIENCE, Proxy, ProxyFixture, ServerKind, Stack, protocols, wait_until};

/// How much bigger a proxy may get under all of it, in KiB. What thousands of connections took at once is kept by the allocator in
/// part; ten thousand that were kept whole would be beyond it.
const GROWTH: u64 = 24 * 1024;

fn house(way: ServerKind, arguments: &[&str]) -> (Stack, ProxyFixture, Proxy, SocketAddr) {
    let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
    let mut command = site.command(&stack, arguments);
    site.write(
        "countersign.toml",
        &stack.target(
            "db",
            &["user = \"app\"", "pool = { min-idle = 1, reuse = true }", "logins-per-second = 0"],
        ),
    );
    let proxy = site.start(command.env("COUNTERSIGN_LOG", "error"));
    let address = SocketAddr::from((site.address(), way.engine().default_port()));
    assert!(site.login(way, "app").ok);
    (stack, site, proxy, address)
}

/// Numbers that look like chance, and are the same in each run.
struct Chance(u64);

impl Chance {
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

/// What a stranger may begin with; `number` says which of them it is.
fn garbage(engine: Engine, number: u32, chance: &mut Chance) -> Vec<u8> {
    let length = |length: u32| {
        if engine == Engine::Postgres { length.to_be_bytes() } else { length.to_le_bytes() }
    };
    match number % 8 {
        0 => b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(),
        // A ClientHello where none is expected.
        1 => [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &chance.bytes(600)]
            .concat(),
        2 => length(u32::MAX).to_vec(),
        3 => [length(0x7fff_ffff).as_slice(), &chance.bytes(4_000)].concat(),
        4 => length(0).to_vec(),
        // SSLRequest, then something else than TLS.
        5 => [&8_u32.to_be_bytes(), &80_877_103_u32.to_be_bytes(), chance.bytes(100).as_slice()]
            .concat(),
        6 => Vec::new(),
        _ => chance.bytes(2_000),
    }
}

#[test]
fn ten_thousand_connections_of_garbage_keep_nobody_out() {
    for way in protocols() {
        let (_stack, site, proxy, address) = house(way, &["--login-timeout", "5s"]);
        let before = proxy.memory();
        let mut chance = Chance(5432);
        for batch in 0..50_u32 {
            let mut strangers: Vec<TcpStream> = Vec::new();
            for number in 0..200 {
                let mut stranger = TcpStream::connect(address).unwrap();
                // It may be shown the door before it has said all.
                let _cut = stranger.write_all(&garbage(way.engine(), number, &mut chance));
                strangers.push(stranger);
            }
            if batch % 10 == 0 {
                let said = site.login(way, "app");
                assert_eq!(said.out, "app", "{said:?}");
            }
        }
        let said = site.login(way, "app");
        assert_eq!(said.out, "app", "{said:?}");
        let after = proxy.memory();
        assert!(after < before + GROWTH, "{way:?}: {before} KiB before, {after} KiB after");
        wait_until("that they are gone", || {
            site.status()["sessions"].as_array().is_some_and(Vec::is_empty)
        });
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    }
}

#[test]
fn who_is_slow_or_silent_is_sent_away_when_the_time_is_up() {
    for way in protocols() {
        let (_stack, site, proxy, address) = house(way, &["--login-timeout", "3s"]);
        let before = proxy.memory();
        // A third says nothing, a third begins and stops, a third says a byte now and then.
        let opening: &[u8] = if way.engine() == Engine::Postgres {
            b"\0\0\0\x20\0\x03\0\0user\0"
        } else {
            b"\x40\0\0\x01\x8d"
        };
        let mut strangers: Vec<TcpStream> = (0..600_usize)
            .map(|number| {
                let mut stranger = TcpStream::connect(address).unwrap();
                stranger.set_read_timeout(Some(PATIENCE)).unwrap();
                if number % 3 > 0 {
                    stranger.write_all(&opening[..number % opening.len()]).unwrap();
                }
                stranger
            })
            .collect();
        let said = site.login(way, "app");
        assert_eq!(said.out, "app", "{said:?}");
        // Whatever trickles in, the time runs from the beginning.
        wait_until("the end of them all", || {
            for stranger in strangers.iter_mut().step_by(3) {
                let _gone = stranger.write(&[0]);
            }
            site.status()["connections"] == 0
        });
        for stranger in &mut strangers {
            assert!(is_closed(stranger), "a stranger is still in");
        }
        assert!(
            proxy.memory() < before + GROWTH,
            "{before} KiB before, {} KiB after",
            proxy.memory()
        );
    }
}

/// Whether the other side has ended it, whatever it said before.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut said = [0; 1024];
    loop {
        match stream.read(&mut said) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            }
        }
    }
}

#[test]
fn giant_lengths_take_no_memory() {
    for way in protocols() {
        let (_stack, site, proxy, address) = house(way, &["--login-timeout", "20s"]);
        let before = proxy.memory();
        let mut strangers: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stranger in &mut strangers {
            let mut opening = match way.engine() {
                Engine::Postgres => {
                    [0x3fff_ffff_u32.to_be_bytes(), 0x0003_0000_u32.to_be_bytes()].concat()
                }
                Engine::Mariadb | Engine::Mysql => vec![0xff, 0xff, 0xff, 1],
            };
            opening.resize(64 * 1024, b'x');
            for _ in 0..16 {
                if stranger.write_all(&opening).is_err() {
                    break;
                }
            }
        }
        assert!(
            proxy.memory() < before + GROWTH,
            "{way:?}: {before} KiB before, {} KiB after",
            proxy.memory()
        );
        assert_eq!(site.login(way, "app").out, "app");
    }
}

#[test]
fn thousands_who_wait_cost_little() {
    let limit =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // This process has one end of each, and the proxy inherits its limit.
    let count = usize::try_from((limit.saturating_sub(200)).min(5_000)).unwrap();
    for way in protocols() {
        let (_stack, site, proxy, address) = house(way, &["--login-timeout", "5m"]);
        let before = proxy.memory();
        let strangers: Vec<TcpStream> =
            (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        wait_until("that all are in", || site.status()["connections"] == count);
        let each = proxy.memory().saturating_sub(before) * 1024 / u64::try_from(count).unwrap();
        assert_eq!(site.login(way, "app").out, "app");
        // A build without optimisation has bigger futures.
        let most = if cfg!(debug_assertions) { 24 * 1024 } else { 4 * 1024 };
        assert!(each <= most, "{way:?}: {each} bytes for each of {count} clients that wait");
        drop(strangers);
        wait_until("that all are gone", || site.status()["connections"] == 0);
    }
}

#[test]
fn half_open_connections_end() {
    for way in protocols() {
        let (_stack, site, _proxy, address) = house(way, &[]);
        let strangers: Vec<TcpStream> = (0..50)
            .map(|_| {
                let stranger = TcpStream::connect(address).unwrap();
                stranger.shutdown(std::net::Shutdown::Write).unwrap();
                stranger.set_read_timeout(Some(PATIENCE)).unwrap();
                stranger
            })
            .collect();
        for mut stranger in strangers {
            assert!(is_closed(&mut stranger));
        }
        wait_until("that they are gone", || site.status()["connections"] == 0);
    }
}
