use proptest::prelude::*;

use super::*;
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, hex};

#[test]
fn greetings_of_real_servers() {
    let mysql = HandshakeV10::parse(&hex(MYSQL_97)).unwrap();
    assert_eq!(mysql.greeting.version, "9.7.4-2");
    assert_eq!(mysql.greeting.flavour, Flavour::Mysql);
    assert_eq!(mysql.connection_id, 16);
    assert_eq!(mysql.nonce, hex("44103817652e1851072b6e3e77774f0a250a5618"));
    assert_eq!(mysql.plugin, "caching_sha2_password");
    assert_eq!((mysql.greeting.collation, mysql.greeting.status), (255, 2));
    assert_eq!(mysql.greeting.capabilities, Capabilities::new(0xdfff_ffff, 0));
    let mariadb = HandshakeV10::parse(&hex(MARIADB_1011)).unwrap();
    assert_eq!(mariadb.greeting.version, "5.5.5-10.11.19-MariaDB-0+deb12u1");
    assert_eq!(mariadb.greeting.flavour, Flavour::Mariadb);
    assert_eq!(mariadb.greeting.capabilities, Capabilities::new(0x81ff_fffe, 0x1d));
    assert_eq!(mariadb.plugin, "mysql_native_password");
    assert_eq!((mariadb.nonce.len(), mariadb.greeting.collation), (NONCE, 8));
    for greeting in [MYSQL_97, MARIADB_1011] {
        assert_eq!(HandshakeV10::parse(&hex(greeting)).unwrap().encode(), hex(greeting));
        for cut in 0..60 {
            let _ = HandshakeV10::parse(&hex(greeting)[..cut]);
        }
    }
    assert!(HandshakeV10::parse(b"\x09" as &[u8]).is_none());
    assert!(HandshakeV10::parse(b"SSH-2.0-OpenSSH").is_none());
}

proptest! {
    #[test]
    fn a_greeting_is_read_as_it_was_written(version in "[ -~]{0,60}", id: u32, low: u32, high: u32, collation: u8, status: u16, nonce in proptest::collection::vec(1_u8..128, 20)) {
        let is_mysql = low & 1 != 0;
        let capabilities = Capabilities::new(low, if is_mysql { 0 } else { high }) | Capabilities::LOGIN;
        let mariadb = !is_mysql || version.to_lowercase().contains("mariadb");
        let flavour = if mariadb { Flavour::Mariadb } else { Flavour::Mysql };
        let greeting = Greeting { version, flavour, capabilities, collation, status };
        let greeted = HandshakeV10 { greeting: greeting.clone(), connection_id: id, nonce: nonce.clone(), plugin: "p".to_owned() };
        let read = HandshakeV10::parse(&greeted.encode()).unwrap();
        prop_assert_eq!(read.greeting, greeting);
        prop_assert_eq!((read.connection_id, read.nonce, read.plugin), (id, nonce, "p".to_owned()));
    }

    #[test]
    fn whatever_comes_is_a_greeting_or_not(mut payload: Vec<u8>) {
        let _ = HandshakeV10::parse(&payload);
        payload.insert(0, VERSION);
        let _ = HandshakeV10::parse(&payload);
    }
}
