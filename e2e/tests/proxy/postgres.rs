//! Features of PostgreSQL's protocol through the proxy.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::process::{Child, Command, Stdio};

use countersign_e2e::{
    ClientSession, CommandOutput, Proxy, ProxyFixture, ServerKind, Stack, postgres, run, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// Starts a stack and a proxy for its user `app`.
fn start_proxy() -> Option<(Stack, ProxyFixture, Proxy)> {
    let (stack, site) = (Stack::up(postgres()?, &[]), ProxyFixture::default());
    stack.sql("GRANT CREATE ON SCHEMA public TO app");
    let proxy = site.serve(&stack, &stack.target("db", &["user = \"app\""]), &[]);
    Some((stack, site, proxy))
}

fn psql(site: &ProxyFixture, sql: &str) -> CommandOutput {
    run(&mut site.client(ServerKind::Pam, "app", sql))
}

/// Connects through the proxy, and returns a channel of its notices and notifications.
async fn connect(
    site: &ProxyFixture,
    more: &str,
) -> (Client, tokio::sync::mpsc::UnboundedReceiver<AsyncMessage>, JoinHandle<()>) {
    let config = format!("host={} user=app dbname=postgres {more}", site.address());
    let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let driver = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            // The receiver may have been dropped.
            let _closed = sender.send(message);
        }
    });
    (client, receiver, driver)
}

#[tokio::test]
async fn asynchronous_notifications_are_forwarded() {
    let Some((_stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let (listener, mut messages, _driver) = connect(&site, "").await;
    listener.batch_execute("LISTEN news").await.unwrap();
    for word in ["first", "second"] {
        let output = psql(&site, &format!("NOTIFY news, '{word}'"));
        assert!(output.ok, "{output:?}");
        let message =
            tokio::time::timeout(countersign_e2e::PATIENCE, messages.recv()).await.unwrap();
        let Some(AsyncMessage::Notification(notification)) = message else { panic!("{message:?}") };
        assert_eq!((notification.channel(), notification.payload()), ("news", word));
    }
    // A notice arrives before the end of its statement.
    listener.batch_execute("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$").await.unwrap();
    let message = messages.recv().await;
    let Some(AsyncMessage::Notice(notice)) = message else { panic!("{message:?}") };
    assert_eq!((notice.severity(), notice.message()), ("WARNING", "mind the gap"));
}

#[tokio::test]
async fn prepared_and_pipelined_queries() {
    let Some((_stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let (client, _messages, _driver) = connect(&site, "").await;
    let double = client.prepare("SELECT $1::int4 * 2").await.unwrap();
    // All queries are sent before the first response is read.
    let doubled = (0..500).map(|number| {
        let (client, double) = (&client, &double);
        async move { client.query_one(double, &[&number]).await.unwrap().get::<_, i32>(0) }
    });
    let mut doubled: Vec<_> = doubled.map(Box::pin).collect();
    let mut results = Vec::new();
    for query in &mut doubled {
        // The first poll sends.
        let polled = poll_fn(|cx| std::task::Poll::Ready(query.as_mut().poll(cx).is_ready())).await;
        assert!(!polled, "the query completed at its first poll");
    }
    for query in doubled {
        results.push(query.await);
    }
    assert_eq!(results, (0..500).map(|number| number * 2).collect::<Vec<_>>());
    // An error in the pipeline affects only its own query.
    let (good, bad, also) = tokio::join!(
        client.query_one("SELECT 1", &[]),
        client.query_one("SELECT 1/(SELECT 0)", &[]),
        client.query_one("SELECT 3", &[])
    );
    assert!(good.is_ok() && also.is_ok());
    assert_eq!(bad.unwrap_err().code().map(|code| code.code()), Some("22012"));
    let output = psql(&site, "PREPARE twice AS SELECT $1::int * 2; EXECUTE twice(21)");
    assert_eq!(output.out, "42", "{output:?}");
}

#[test]
fn copy_in_both_directions() {
    let Some((_stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let mut lines = String::new();
    for number in 0..200_000_u32 {
        writeln!(lines, "{number}\t{}", "x".repeat(usize::try_from(number % 90).unwrap())).unwrap();
    }
    let (there, back) = (site.write("there", &lines), site.path("back"));
    let script = format!(
        "CREATE TABLE copied (number int, text text);\n\\copy copied from '{}'\nSELECT count(*), \
         sum(length(text)) FROM copied;\n\
         \\copy (SELECT * FROM copied ORDER BY number) to '{}'\n",
        there.display(),
        back.display()
    );
    let script = site.write("copy.sql", &script);
    let output = run(site.session(ServerKind::Pam, "app").arg("--file").arg(script));
    assert!(output.ok && output.out.starts_with("200000|"), "{output:?}");
    assert!(std::fs::read_to_string(back).unwrap() == lines, "the copied data differ");
    // The session stays usable after the server aborts a COPY.
    let broken = site.write("broken", "1\tone\ntwo\ttwo\n");
    let script = site.write(
        "broken.sql",
        &format!("\\copy copied from '{}'\nSELECT 'still here';\n", broken.display()),
    );
    let output = run(site.session(ServerKind::Pam, "app").arg("--file").arg(script));
    assert!(
        output.out == "still here" && output.err.contains("invalid input syntax"),
        "{output:?}"
    );
}

#[test]
fn large_objects_are_imported_and_exported() {
    let Some((_stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|number| u8::try_from(number.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let (there, back) = (site.path("there"), site.path("back"));
    std::fs::write(&there, &bytes).unwrap();
    let script = format!(
        "\\lo_import '{}'\n\\lo_export :LASTOID '{}'\n\\lo_unlink :LASTOID\n",
        there.display(),
        back.display()
    );
    let script = site.write("objects.sql", &script);
    let output = run(site.session(ServerKind::Pam, "app").arg("--file").arg(script));
    assert!(output.ok, "{output:?}");
    assert!(std::fs::read(back).unwrap() == bytes, "the exported object differs");
}

fn interrupt(client: &Child) {
    let pid = Pid::from_raw(i32::try_from(client.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn cancel_request_cancels_only_its_statement() {
    let Some((stack, site, proxy)) = start_proxy() else {
        return;
    };
    let running = |mark: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE \
             '%/*{mark}*/%' AND pid <> pg_backend_pid()"
        );
        stack.sql(&sql)
    };
    let start = |sql: &str| {
        site.client(ServerKind::Pam, "app", sql)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let others: Vec<Child> = (0..4).map(|_| start("SELECT pg_sleep(600) /*other*/")).collect();
    // One client waits for the server, the other receives rows without end.
    for (mark, sql) in [
        ("wait", "SELECT pg_sleep(600) /*wait*/"),
        ("flood", "\\copy (SELECT generate_series(1, 1000000000) /*flood*/) to '/dev/null'"),
    ] {
        let mut client = start(sql);
        wait_until("the statement", || running(mark) == "1");
        assert!(client.try_wait().unwrap().is_none());
        interrupt(&client);
        let output = CommandOutput::from(client.wait_with_output().unwrap());
        assert!(output.err.contains("canceling statement due to user request"), "{output:?}");
        wait_until("the end of the statement", || running(mark) == "0");
    }
    wait_until("the other statements", || running("other") == "4");
    for mut other in others {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    assert!(!proxy.log().contains("cancel request failed"), "{}", proxy.log());
}

#[test]
fn startup_parameters_and_parameter_status_are_forwarded() {
    let Some((_stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let sql = "SELECT current_setting('application_name'), current_setting('statement_timeout'), \
     current_setting('search_path'), \
               current_setting('client_encoding'), current_setting('TimeZone'), \
     current_setting('my.own')";
    let mut client = site.client(ServerKind::Pam, "app", sql);
    client
        .env("PGAPPNAME", "the reports")
        .env("PGOPTIONS", "-c statement_timeout=12345 -c search_path=one,two -c my.own=a\\ b");
    let output = run(client.env("PGCLIENTENCODING", "LATIN1").env("PGTZ", "Asia/Tokyo"));
    assert_eq!(output.out, "the reports|12345ms|one,two|LATIN1|Asia/Tokyo|a b", "{output:?}");
    // ParameterStatus messages at the login and later.
    let script = "\\echo :SERVER_VERSION_NUM :ENCODING\nSELECT \
     current_setting('server_version_num') AS number \\gset\n\\echo :number\n\
                  SET client_encoding = 'LATIN1';\n\\encoding\n";
    let script = site.write("parameters.sql", script);
    let output = run(site.session(ServerKind::Pam, "app").arg("--file").arg(script));
    let words: Vec<&str> = output.out.split_whitespace().collect();
    assert_eq!(words[1..], ["UTF8", words[0], "LATIN1"], "{output:?}");
}

#[test]
fn large_rows_are_forwarded_and_slow_clients_do_not_block_others() {
    let Some((_stack, site, proxy)) = start_proxy() else {
        return;
    };
    let long = psql(&site, "SELECT repeat('x', 20000000)");
    assert_eq!(long.out.len(), 20_000_000);
    // A client that does not read: backpressure stops the server, and the proxy does not buffer.
    let before = proxy.memory();
    let mut stopped = site.client(
        ServerKind::Pam,
        "app",
        "\\copy (SELECT repeat('x', 1000) FROM generate_series(1, 10000000)) to stdout",
    );
    let mut stopped = stopped.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..20 {
        assert_eq!(psql(&site, "SELECT 1").out, "1");
    }
    assert!(proxy.memory() < before + 8 * 1024, "{} KiB, and {before} KiB before", proxy.memory());
    stopped.kill().unwrap();
    stopped.wait().unwrap();
}

#[test]
fn session_ends_with_the_server_s_error() {
    let Some((stack, site, _proxy)) = start_proxy() else {
        return;
    };
    let mut session =
        ClientSession::open(ServerKind::Pam, &mut site.session(ServerKind::Pam, "app"));
    let pid = session.server_session();
    stack.sql(&format!("SELECT pg_terminate_backend({pid})"));
    session.tell("SELECT 1");
    wait_until("the end of the session", || {
        session.complaints().contains("terminating connection due to administrator command")
    });
}

#[test]
fn replication_with_password_authentication() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    stack.sql("CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'not-for-keeps'");
    stack.sql("ALTER SYSTEM SET wal_level = 'logical'");
    let _down = stack.must(&["down"]);
    stack.start();
    stack.sql("CREATE TABLE changes (number int)");
    let target = stack.target(
        "db",
        &[
            "user = \"replicator\"",
            "server-auth = { password-env = \"DB_PASSWORD\" }",
            "pool = { reuse = true }",
        ],
    );
    site.write("countersign.toml", &target);
    let _proxy = site.start(site.command(&stack, &[]).env("DB_PASSWORD", "not-for-keeps"));
    let replication = |program: &str| {
        let mut command = Command::new(program);
        command
            .env("PGHOST", site.address().to_string())
            .env("PGPORT", "5432")
            .env("PGUSER", "replicator");
        command
    };
    let output = run(replication("psql").args([
        "-X",
        "-Atc",
        "IDENTIFY_SYSTEM",
        "dbname=postgres replication=database",
    ]));
    assert!(output.ok && output.out.ends_with("|postgres"), "{output:?}");

    let received = site.path("received");
    let recvlogical = |arguments: &[&str]| {
        let mut command = replication("pg_recvlogical");
        command.args(["--dbname=postgres", "--slot=through", "--no-loop"]).args(arguments);
        command
    };
    let output = run(&mut recvlogical(&["--create-slot", "--plugin=test_decoding"]));
    assert!(output.ok, "{output:?}");
    let file = format!("--file={}", received.display());
    let mut follower =
        recvlogical(&["--start", "--fsync-interval=1", "--status-interval=1", &file])
            .spawn()
            .unwrap();
    for number in 1..=3 {
        stack.sql(&format!("INSERT INTO changes VALUES ({number})"));
        let change = format!("INSERT: number[integer]:{number}");
        wait_until("the change", || {
            std::fs::read_to_string(&received).is_ok_and(|text| text.contains(&change))
        });
    }
    interrupt(&follower);
    assert!(follower.wait().unwrap().success());
    // A replication session is not reused for other clients.
    let output = run(&mut recvlogical(&["--drop-slot"]));
    assert!(output.ok, "{output:?}");
    let output =
        run(replication("psql").args(["-X", "-Atc", "SELECT current_user", "dbname=postgres"]));
    assert_eq!(output.out, "replicator", "{output:?}");
}
