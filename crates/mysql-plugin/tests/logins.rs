//! Tests of the plugin, loaded as servers load it, with the layouts of both servers.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(unsafe_code, reason = "the plugin is called as a server calls it")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod server;

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_core::failure::Class;
use countersign_core::name::Engine;
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol::{Nonce, VerifyResponse};

use server::{BOTH, Client, ERROR, Library, OK, Outcome, Shape, send, transport, verifier};

/// Environment variable of the child process that the test of the log starts.
const CHILD: &str = "COUNTERSIGN_PLUGIN_TEST_CHILD";

#[test]
fn exports_have_the_layout_of_each_server() {
    let library = Library::open();
    assert_eq!(library.number(c"_maria_plugin_interface_version_"), 0x010f);
    assert_eq!(library.number(c"_maria_sizeof_struct_st_plugin_"), 104);
    assert_eq!(library.number(c"_mysql_plugin_interface_version_"), 0x010b);
    assert_eq!(library.number(c"_mysql_sizeof_struct_st_plugin_"), 112);
    for (shape, interface) in [(Shape::Mariadb, 0x0202), (Shape::Mysql, 0x0201)] {
        assert_eq!(library.declared::<c_int>(shape, 0), 7);
        let name: *const c_char = library.declared(shape, 16);
        // SAFETY: names are C strings.
        assert_eq!(unsafe { CStr::from_ptr(name) }, c"AWSAuthenticationPlugin");
        let client: *const c_char = library.function(shape, 8);
        // SAFETY: as above.
        assert_eq!(unsafe { CStr::from_ptr(client) }, c"mysql_clear_password");
        assert_eq!(library.function::<c_int>(shape, 0), interface);
        // SAFETY: the list of declarations ends with a zeroed one.
        let last = unsafe {
            std::slice::from_raw_parts(
                library.symbol(shape.declarations()).add(shape.size()),
                shape.size(),
            )
        };
        assert!(last.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn logins_are_accepted_if_the_verifier_allows() {
    for (shape, engine) in [(Shape::Mariadb, Engine::Mariadb), (Shape::Mysql, Engine::Mysql)] {
        let library = Library::installed(shape);
        let verifier = verifier(&library.socket(), |stream, nonce| {
            send(stream, &VerifyResponse::Allow { nonce })
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let client = Client {
            user: Some("Jane Doe, näm'e".into()),
            transport: transport(shape, socket.as_raw_fd(), true),
            ..Client::jane(shape, b"a-token")
        };
        let outcome = library.login(shape, &client);
        assert_eq!(
            (outcome.code, outcome.password_used, &*outcome.changed),
            (OK, 1, &[][..]),
            "{shape:?}"
        );
        let request = verifier.join().unwrap();
        assert_eq!((request.engine, request.instance.as_str()), (engine, "orders"));
        assert_eq!((request.user.as_str(), &**request.token), ("Jane Doe, näm'e", "a-token"));
        assert_eq!((request.client.as_deref(), request.tls), (Some("127.0.0.1"), Some(true)));
        assert_ne!(request.nonce(), Nonce([0; 16]));
    }
}

/// Sends the response of the verifier.
type Respond = fn(&mut std::os::unix::net::UnixStream, Nonce);

#[test]
fn logins_are_denied_unless_the_verifier_allows() {
    let cases: [(&str, Respond); 6] = [
        ("deny", |stream, nonce| {
            send(stream, &VerifyResponse::Deny { nonce, class: Class::Expired })
        }),
        ("another nonce", |stream, _| {
            send(stream, &VerifyResponse::Allow { nonce: Nonce([7; 16]) })
        }),
        ("garbage", |stream, _| stream.write_all(&[0xff; 4096]).unwrap_or_default()),
        ("a partial response", |stream, _| {
            stream.write_all(b"\0\0\0\x30{\"verdict\":\"allow\"").unwrap()
        }),
        ("no response", |_, _| ()),
        ("an open connection", |stream, _| {
            let mut rest = Vec::new();
            // Reads until the plugin closes the connection.
            stream.read_to_end(&mut rest).unwrap();
        }),
    ];
    for shape in BOTH {
        for (name, respond) in cases {
            let library = Library::installed(shape);
            let verifier = verifier(&library.socket(), respond);
            let start = Instant::now();
            let outcome = library.login(shape, &Client::jane(shape, b"a-token"));
            assert_eq!((outcome.code, &*outcome.changed), (ERROR, &[][..]), "{shape:?} {name}");
            assert!(start.elapsed() < Duration::from_secs(6), "{name}");
            verifier.join().unwrap();
        }
        let without_verifier =
            Library::installed(shape).login(shape, &Client::jane(shape, b"a-token"));
        assert_eq!(without_verifier.code, ERROR);
    }
}

#[test]
fn invalid_tokens_and_accounts_are_denied_without_a_request() {
    let jane = Client::jane;
    for shape in BOTH {
        let cases = [
            ("hangs up", Client { packet: None, ..jane(shape, b"") }, 0),
            ("an empty packet", Client { packet: Some(Vec::new()), ..jane(shape, b"") }, 0),
            ("an empty token", jane(shape, b""), 0),
            ("a token too long", jane(shape, &vec![b'x'; MAX_TOKEN + 1]), 1),
            ("no user", Client { user: None, ..jane(shape, b"a-token") }, 1),
            ("an empty user", Client { user: Some(Vec::new()), ..jane(shape, b"a-token") }, 1),
            (
                "a user not in UTF-8",
                Client { user: Some(b"j\xffne".to_vec()), ..jane(shape, b"a-token") },
                1,
            ),
            (
                "a user too long",
                Client { user: Some(vec![b'x'; 256]), ..jane(shape, b"a-token") },
                1,
            ),
            ("no auth string", Client { auth_string: Vec::new(), ..jane(shape, b"a-token") }, 1),
            (
                "another auth string",
                Client { auth_string: b"rds".to_vec(), ..jane(shape, b"a-token") },
                1,
            ),
            (
                "a longer auth string",
                Client { auth_string: b"RDS ".to_vec(), ..jane(shape, b"a-token") },
                1,
            ),
        ];
        let library = Library::installed(shape);
        let listener = std::os::unix::net::UnixListener::bind(library.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        for (name, client, used) in cases {
            let Outcome { code, password_used, changed } = library.login(shape, &client);
            assert_eq!(
                (code, password_used, &*changed),
                (ERROR, used, &[][..]),
                "{shape:?} {name}"
            );
            assert!(
                listener.accept().is_err(),
                "{shape:?} {name}: the verifier received a connection"
            );
        }
    }
}

#[test]
fn only_the_final_nul_is_removed_from_the_token() {
    for (packet, token) in [
        (&b"a\0b\0\0"[..], "a\0b\0"),
        (b"a-token", "a-token"),
        (b"a\xff\xfe\0", "a\u{fffd}\u{fffd}"),
    ] {
        let library = Library::installed(Shape::Mysql);
        let verifier = verifier(&library.socket(), |stream, nonce| {
            send(stream, &VerifyResponse::Deny { nonce, class: Class::Malformed })
        });
        let client = Client { packet: Some(packet.to_vec()), ..Client::jane(Shape::Mysql, b"") };
        assert_eq!(library.login(Shape::Mysql, &client).code, ERROR);
        assert_eq!(&**verifier.join().unwrap().token, token);
    }
}

/// The verifier denies logins without TLS and logs the denial. If a server does not report TLS, the
/// request has no value.
#[test]
fn tls_state_is_reported_as_known_to_the_server() {
    let older = |shape| transport(shape, -1, false)[..8].to_vec();
    for (shape, transport, tls) in [
        (Shape::Mariadb, transport(Shape::Mariadb, -1, true), Some(true)),
        (Shape::Mariadb, transport(Shape::Mariadb, -1, false), Some(false)),
        (Shape::Mariadb, older(Shape::Mariadb), None),
        (Shape::Mysql, transport(Shape::Mysql, -1, true), Some(true)),
        (Shape::Mysql, transport(Shape::Mysql, -1, false), Some(false)),
        (Shape::Mysql, older(Shape::Mysql), None),
        (Shape::Mysql, Vec::new(), None),
    ] {
        let library = Library::installed(shape);
        let verifier = verifier(&library.socket(), |stream, nonce| {
            send(stream, &VerifyResponse::Deny { nonce, class: Class::NoTls })
        });
        let outcome =
            library.login(shape, &Client { transport, ..Client::jane(shape, b"a-token") });
        assert_eq!(outcome.code, ERROR);
        let request = verifier.join().unwrap();
        assert_eq!((request.tls, request.client.as_deref()), (tls, Some("db-client")), "{shape:?}");
    }
}

#[test]
fn invalid_settings_are_not_loaded_and_deny_every_login() {
    for shape in BOTH {
        for settings in [
            &[][..],
            &[("socket", "v.sock"), ("instance", "orders")],
            &[("socket", "/v"), ("instance", "orders"), ("timeout", "5")],
        ] {
            let library = Library::open();
            assert!(!library.install(shape, settings));
            assert_eq!(library.login(shape, &Client::jane(shape, b"a-token")).code, ERROR);
        }
        let library = Library::open();
        let unknown =
            [("socket", "/v"), ("instance", "orders"), ("verifier_user", "no-such-user-anywhere")];
        assert!(!library.install(shape, &unknown));
        assert!(library.install(
            shape,
            &[("socket", "/v"), ("instance", "orders"), ("verifier_user", "root")]
        ));
        library.uninstall(shape);
        assert_eq!(library.login(shape, &Client::jane(shape, b"a-token")).code, ERROR);
    }
}

#[test]
fn authentication_string_must_be_rds() {
    let library = Library::installed(Shape::Mysql);
    let generate: unsafe extern "C" fn(*mut c_char, *mut c_uint, *const c_char, c_uint) -> c_int =
        library.function(Shape::Mysql, 24);
    let validate: unsafe extern "C" fn(*const c_char, c_uint) -> c_int =
        library.function(Shape::Mysql, 32);
    let (mut out, mut length) = ([0x55_u8; 16], 16);
    // SAFETY: each length is the length of its buffer.
    unsafe {
        assert_eq!(generate(out.as_mut_ptr().cast(), &raw mut length, c"secret".as_ptr(), 6), 1);
        for (given, status) in [(c"RDS", 0), (c"rds", 1), (c"", 1), (c"RDS ", 1)] {
            assert_eq!(
                validate(given.as_ptr(), c_uint::try_from(given.count_bytes()).unwrap()),
                status,
                "{given:?}"
            );
        }
    }
    assert_eq!((out, length), ([0x55; 16], 16));

    let preprocess: unsafe extern "C" fn(*const c_char, usize, *mut u8, *mut usize) -> c_int =
        library.function(Shape::Mariadb, 32);
    for (given, room, expected) in
        [(c"RDS", 16, 0), (c"RDS", 3, 0), (c"RDS", 2, 1), (c"rds", 16, 1), (c"", 16, 1)]
    {
        let (mut out, mut length) = ([0x55_u8; 16], room);
        // SAFETY: as above.
        let status = unsafe {
            preprocess(given.as_ptr(), given.count_bytes(), out.as_mut_ptr(), &raw mut length)
        };
        assert_eq!(status, expected);
        let (text, untouched): (&[u8], usize) = if expected == 0 { (b"RDS", 3) } else { (b"", 0) };
        assert!(
            out.starts_with(text) && out[untouched..].iter().all(|byte| *byte == 0x55),
            "{given:?}"
        );
        assert_eq!(length, if expected == 0 { 3 } else { room });
    }
}

/// The log is standard error, so the logins run in a child process.
#[test]
fn denial_is_logged_in_one_line_without_the_token() {
    if std::env::var_os(CHILD).is_some() {
        return deny_logins();
    }
    let this = std::env::current_exe().unwrap();
    let child = Command::new(this)
        .args(["--exact", "denial_is_logged_in_one_line_without_the_token", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let log = String::from_utf8(child.stderr).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let parts = [
        (
            "[ERROR]",
            r#"not loaded: configuration: awsauthenticationplugin-timeout = "x": must be from"#,
        ),
        ("[Warning]", r#"login of "ja\nne" from "db-client" on "orders" denied: expired: "#),
        ("[ERROR]", r#"login of "jane" from "db-client" on "orders" denied: configuration: "#),
        ("[Warning]", "cannot use this authentication string"),
    ];
    assert_eq!(lines.len(), parts.len(), "{log}");
    for (line, (level, part)) in lines.iter().zip(parts) {
        let part = format!("{level} AWSAuthenticationPlugin: {part}");
        assert!(line.starts_with("20") && line.contains(&part), "{line}");
    }
    assert!(
        lines[0].contains(
            "awsauthenticationplugin-socket: missing; awsauthenticationplugin-instance: missing"
        ),
        "{log}"
    );
    assert!(!log.contains("token-of-jane") && !log.contains("hunter2"), "{log}");
}

fn deny_logins() {
    let shape = Shape::Mysql;
    assert!(!Library::open().install(shape, &[("timeout", "x")]));
    let library = Library::installed(shape);
    let denying = verifier(&library.socket(), |stream, nonce| {
        send(stream, &VerifyResponse::Deny { nonce, class: Class::Expired })
    });
    let client = Client { user: Some(b"ja\nne".to_vec()), ..Client::jane(shape, b"token-of-jane") };
    assert_eq!(library.login(shape, &client).code, ERROR);
    denying.join().unwrap();
    let client =
        Client { auth_string: b"hunter2".to_vec(), ..Client::jane(shape, b"token-of-jane") };
    assert_eq!(library.login(shape, &client).code, ERROR);
    let validate: unsafe extern "C" fn(*const c_char, c_uint) -> c_int =
        library.function(shape, 32);
    // SAFETY: the text has seven bytes.
    assert_eq!(unsafe { validate(c"hunter2".as_ptr(), 7) }, 1);
    // An allowed login is not logged.
    let library = Library::installed(shape);
    let allowing =
        verifier(&library.socket(), |stream, nonce| send(stream, &VerifyResponse::Allow { nonce }));
    assert_eq!(library.login(shape, &Client::jane(shape, b"token-of-jane")).code, OK);
    allowing.join().unwrap();
}
