//! `setup plugin` on servers of the test's own that use a local stack as verifier.

mod own_server;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use countersign_core::endpoint::Endpoint;
use countersign_core::name::Engine;
use countersign_e2e::{ServerKind, Stack, countersign, run, token, wait_until, ways_of};

use own_server::{OwnServer, USER};

/// Starts a stack whose verifier allows servers that run as [`USER`].
fn verifier() -> Stack {
    let is_root = rustix::process::geteuid().is_root();
    Stack::up(ServerKind::Mariadb, if is_root { &["--allow-user", USER] } else { &[] })
}

/// Asserts that setup without `--apply` prints the plan and changes nothing.
fn assert_plan_is_only_printed(server: &OwnServer, install: &[&str]) {
    let output = server.setup(install);
    let shown = [
        "mysql_countersign.so",
        "loose-awsauthenticationplugin-socket = ",
        "AWSAuthenticationPlugin",
        "apply the plan with --apply",
        "CREATE USER",
    ];
    assert!(output.ok && shown.iter().all(|part| output.out.contains(part)), "{output:?}");
    let output = server.setup(&[install, &["--output", "json"]].concat());
    let plan: serde_json::Value =
        serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(
        (&plan["applied"], &plan["steps"][1]["done"]),
        (&false.into(), &false.into()),
        "{plan}"
    );
    assert!(
        plan["steps"][2]["statement"].is_string() && plan["steps"][2]["undo"].is_string(),
        "{plan}"
    );
    assert!(
        !server.library().exists() && !server.config_file().exists() && server.state().is_empty()
    );
}

/// Asserts that setup applies the plan, and that applying it again changes nothing. MySQL reads the
/// settings only when it starts, and the plan says so. The binary log records none of the
/// statements.
fn assert_installed(server: &mut OwnServer, apply: &[&str]) {
    let is_mysql = server.engine == Engine::Mysql;
    let logged = server.sql("SHOW BINARY LOGS").out;
    let output = server.setup(apply);
    assert_eq!(
        server.sql("SHOW BINARY LOGS").out,
        logged,
        "a replica would receive the row without the library"
    );
    assert!(
        output.ok && output.err.contains("mysql.plugin") == is_mysql,
        "{output:?}\n{}",
        server.log()
    );
    let again = server.setup(apply);
    assert!(again.ok && again.err.is_empty(), "the second run changed something: {again:?}");
    assert_eq!(again.out.contains("restart the server"), is_mysql, "{again:?}");
    if is_mysql {
        server.restart();
    }
    let ready = server.setup(apply);
    assert!(
        ready.err.is_empty() && ready.out.starts_with("AWSAuthenticationPlugin is loaded"),
        "{ready:?}\n{}",
        server.log()
    );
    assert_eq!(server.state(), "ACTIVE");
}

#[test]
fn plugin_is_installed_and_removed() {
    let stack = verifier();
    for kind in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        let engine = kind.engine();
        let mut server = OwnServer::start(engine, &stack);
        let name = format!("own-{engine}");
        let socket = stack.status()["socket"].as_str().unwrap().to_owned();
        let install = ["--verifier-socket", &*socket, "--instance", &*name];
        let apply = [&install[..], &["--apply"]].concat();

        assert_plan_is_only_printed(&server, &install);
        assert_installed(&mut server, &apply);

        // After the server is attached to the verifier, the account of the plan works, and still
        // does after a restart.
        attach(&stack, &name, &server);
        assert!(
            server
                .sql(
                    "CREATE USER jane IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL"
                )
                .ok
        );
        let made = run(&mut stack.local(&["user", "create", "jane"]));
        assert!(made.ok || made.err.contains("exists"), "{made:?}");
        let _policy = stack.must(&["user", "grant", "jane"]);
        assert_logins(&stack, &server);
        server.restart();
        assert_logins(&stack, &server);
        assert!(
            !server.log().to_lowercase().contains("already exists"),
            "the plugin was loaded twice: {}",
            server.log()
        );

        // Removal is rejected while an account uses the plugin, and otherwise complete.
        let refused = server.setup(&["--remove", "--apply"]);
        assert!(refused.status == Some(5) && refused.err.contains("'jane'@'%'"), "{refused:?}");
        assert_logins(&stack, &server);
        assert!(server.sql("DROP USER jane").ok);
        let output = server.setup(&["--remove", "--apply"]);
        assert!(output.ok && server.state().is_empty(), "{output:?}");
        assert!(!server.library().exists() && !server.config_file().exists());
        let again = server.setup(&["--remove", "--apply"]);
        assert!(again.ok && again.err.is_empty(), "{again:?}");
        server.restart();
        assert_eq!(server.sql("SELECT COUNT(*) FROM mysql.plugin WHERE name LIKE 'AWS%'").out, "0");
        let _removed = stack.must(&["instance", "remove", &name]);
        server.stop();
    }
}

#[test]
fn failed_installation_is_rolled_back() {
    let stack = verifier();
    let server = OwnServer::start(Engine::Mariadb, &stack);
    let elsewhere = server.path("elsewhere.cnf");
    let setup = |arguments: &[&str]| {
        let mut command = countersign();
        command
            .args(["setup", "plugin", "--engine", "mariadb", "--user", "root", "--socket"])
            .arg(server.path("mysqld.sock"));
        run(command.arg("--config-file").arg(&elsewhere).args(arguments))
    };
    let install = ["--verifier-socket", "/run/verifier.sock", "--instance", "own", "--apply"];
    let output = setup(&install);
    assert!(
        output.status == Some(5)
            && output.err.contains("does not read")
            && output.err.contains("undone: "),
        "{output:?}"
    );
    assert!(!elsewhere.exists() && !server.library().exists() && server.state().is_empty());

    let other = run(countersign()
        .args(["setup", "plugin", "--engine", "mysql", "--remove", "--user", "root", "--socket"])
        .arg(server.path("mysqld.sock"))
        .arg("--config-file")
        .arg(&elsewhere));
    assert!(other.status == Some(5) && other.err.contains("--engine mariadb"), "{other:?}");
    let unreachable = run(countersign()
        .args(["setup", "plugin", "--engine", "mariadb", "--remove", "--socket"])
        .arg(server.path("none.sock"))
        .arg("--config-file")
        .arg(&elsewhere));
    assert!(
        unreachable.status == Some(4) && unreachable.err.contains("--socket"),
        "{unreachable:?}"
    );
    // An option file that setup did not write is kept.
    std::fs::write(&elsewhere, "[mysqld]\n").unwrap();
    assert!(setup(&install).err.contains("was not written by"), "a foreign file is kept");
}

#[test]
fn reload_waits_for_a_login_in_progress() {
    let stack = verifier();
    let server = OwnServer::start(Engine::Mariadb, &stack);
    let install = ["--verifier-socket", "/run/verifier.sock", "--instance", "own", "--apply"];
    let output = server.setup(&[&install[..], &["--verifier-user", USER]].concat());
    assert!(output.ok, "{output:?}\n{}", server.log());
    assert_eq!(server.verifier_user(), USER);
    assert!(
        server
            .sql("CREATE USER half@localhost IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'")
            .ok
    );

    // The plugin has to be reloaded without that user, while a client that has not sent its token
    // yet keeps the old one in use.
    let login = start_login(&server, "half");
    let output = std::thread::scope(|scope| {
        let setup = scope.spawn(|| server.setup(&install));
        wait_until("the removal of the plugin, pending the end of the login", || {
            server.state() == "DELETED"
        });
        assert!(!setup.is_finished(), "{:?}", setup.join());
        drop(login);
        setup.join().unwrap()
    });
    assert!(output.ok, "{output:?}\n{}", server.log());
    assert_eq!((&*server.state(), &*server.verifier_user()), ("ACTIVE", ""));
    assert_eq!(
        server.sql("SELECT COUNT(*) FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin'").out,
        "1"
    );
}

#[test]
fn attached_servers_are_listed_and_own_servers_are_protected() {
    let stack = verifier();
    let add = |name: &str| {
        run(&mut stack.local(&[
            "instance",
            "add",
            name,
            "--engine",
            "mysql",
            "--hostname",
            "db.example",
            "--port",
            "3306",
        ]))
    };
    assert!(add("orders").ok);
    let list: serde_json::Value =
        serde_json::from_str(&stack.must(&["instance", "list", "--output", "json"])).unwrap();
    assert_eq!(
        (&list[0]["instance"], &list[0]["hosts"][0], &list[0]["port"]),
        (&"orders".into(), &"db.example".into(), &3306.into())
    );
    assert_eq!(stack.status()["attached"], list);
    assert!(stack.must(&["status"]).contains("db.example:3306"));

    let own = add("mariadb");
    assert!(own.status == Some(5) && own.err.contains("the stack's own"), "{own:?}");
    assert_eq!(run(&mut stack.local(&["instance", "remove", "mariadb"])).status, Some(5));
    // A server of the stack cannot have the name of an attached one.
    let _stopped = stack.must(&["down"]);
    assert!(add("mysql").ok, "the authority's state is available while the stack is stopped");
    let taken = run(&mut stack.local(&["up", "--detach", "--engine", "mariadb,mysql"]));
    assert!(taken.status == Some(5) && taken.err.contains("instance remove mysql"), "{taken:?}");
    let unknown = run(&mut stack.local(&[
        "up",
        "--detach",
        "--engine",
        "mariadb",
        "--allow-user",
        "no-such-user",
    ]));
    assert!(unknown.status == Some(5) && unknown.err.contains("no-such-user"), "{unknown:?}");
    assert!(
        stack.must(&["instance", "list"]).contains("orders"),
        "attached servers are kept when the stack stops"
    );
    for name in ["orders", "mysql"] {
        let _removed = stack.must(&["instance", "remove", name]);
    }
    assert_eq!(run(&mut stack.local(&["instance", "remove", "orders"])).status, Some(5));
}

/// Starts a login and stops when the server requests the token.
fn start_login(server: &OwnServer, user: &str) -> UnixStream {
    const LONG_PASSWORD_41_SECURE_PLUGIN: u32 = 0x0008_8201;
    let packet = |stream: &mut UnixStream| {
        let mut header = [0; 4];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; usize::from(u16::from_le_bytes([header[0], header[1]]))];
        stream.read_exact(&mut body).unwrap();
        body
    };
    let mut stream = UnixStream::connect(server.path("mysqld.sock")).unwrap();
    let _greeting = packet(&mut stream);
    let mut response = LONG_PASSWORD_41_SECURE_PLUGIN.to_le_bytes().to_vec();
    response.extend(0x0100_0000_u32.to_le_bytes());
    response.push(45);
    response.extend([0; 23]);
    response.extend(format!("{user}\0\0mysql_native_password\0").bytes());
    let length = u8::try_from(response.len()).unwrap();
    stream.write_all(&[&[length, 0, 0, 1], &*response].concat()).unwrap();
    let asked = packet(&mut stream);
    assert!(
        asked.starts_with(b"\xfemysql_clear_password\0"),
        "{}",
        String::from_utf8_lossy(&asked)
    );
    stream
}

fn attach(stack: &Stack, name: &str, server: &OwnServer) {
    let port = server.port.to_string();
    let arguments = [
        "instance",
        "add",
        name,
        "--engine",
        server.engine.as_str(),
        "--hostname",
        "127.0.0.1",
        "--port",
        &port,
    ];
    let _attached = stack.must(&arguments);
}

/// Asserts that a valid token is accepted, and one with a changed signature denied.
fn assert_logins(stack: &Stack, server: &OwnServer) {
    let region = stack.endpoint().region;
    let endpoint = Endpoint {
        engine: server.engine,
        host: "127.0.0.1".parse().unwrap(),
        port: server.port,
        region,
    };
    let good = token(
        &stack.credentials(&["--user", "jane"]),
        &endpoint,
        "jane",
        std::time::SystemTime::now(),
    );
    let output = server.login(stack, &good);
    assert_eq!(output.out, "jane@%", "{output:?}\n{}", server.log());
    let last = if good.ends_with('0') { '1' } else { '0' };
    let bad = server.login(stack, &format!("{}{last}", &good[..good.len() - 1]));
    assert!(!bad.ok && bad.err.contains("ERROR 1045 (28000)"), "{bad:?}");
    assert_eq!(stack.last_class("jane").as_deref(), Some("signature-mismatch"));
}
