//! Accounts of MariaDB and MySQL: the statements of AWS's guide, and the server's own access
//! control.

use countersign_core::name::Engine;
use countersign_e2e::{Stack, run, ways_of};

fn each(test: impl Fn(&Stack)) {
    for kind in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        test(&Stack::up(kind, &[]));
    }
}

/// Runs SQL as the administrator, which must fail, and returns the server's error.
fn error(stack: &Stack, sql: &str) -> String {
    let output = run(&mut stack.local(&["mysql", "--", "--execute", sql]));
    assert!(!output.ok, "{sql}: {output:?}");
    output.err
}

#[test]
fn statements_of_the_rds_user_guide_work() {
    each(|stack| {
        // "Creating a database account using IAM authentication" in the RDS user guide.
        stack.sql("CREATE USER 'jane_doe' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");
        stack.sql("ALTER USER 'jane_doe'@'%' REQUIRE SSL");
        let _made = stack.must(&["user", "create", "jane_doe"]);
        let good = stack.token(&stack.credentials(&["--user", "jane_doe"]), "jane_doe");
        assert_eq!(stack.login("jane_doe", &good).out, "jane_doe");

        // An account changes from a password to IAM and back.
        stack.sql("CREATE USER 'john'@'%' IDENTIFIED BY 'hunter2'");
        assert_eq!(stack.login("john", "hunter2").out, "john");
        stack.sql("ALTER USER 'john'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");
        assert_eq!(stack.refused("john", "hunter2").as_deref(), Some("malformed"));
        // MySQL passes a password to the account's plugin, which rejects it: name another plugin.
        let back = if stack.kind().engine() == Engine::Mysql {
            "WITH caching_sha2_password BY"
        } else {
            "BY"
        };
        stack.sql(&format!("ALTER USER 'john'@'%' IDENTIFIED {back} 'hunter3'"));
        assert_eq!(stack.login("john", "hunter3").out, "john");
    });
}

#[test]
fn malformed_iam_account_is_rejected_at_creation() {
    each(|stack| {
        let [password, other] =
            if stack.kind().engine() == Engine::Mysql { [1396, 1827] } else { [1064, 1396] };
        for (what, number) in
            [("BY 'hunter2-is-secret'", password), ("AS 'rds'", other), ("AS 'RDS2'", other)]
        {
            let output = error(
                stack,
                &format!("CREATE USER bad IDENTIFIED WITH AWSAuthenticationPlugin {what}"),
            );
            assert!(output.contains(&format!("ERROR {number} ")), "{what}: {output}");
        }
        assert_eq!(stack.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'bad'"), "0");
    });
}

#[test]
fn server_access_control_applies_beside_iam() {
    each(|stack| {
        let engine = stack.kind().engine();
        // A password account is not subject to IAM, and rejects tokens.
        stack.sql("CREATE USER plain IDENTIFIED BY 'hunter2'");
        let good = stack.token(&stack.credentials(&[]), "app");
        assert_eq!(stack.login("plain", "hunter2").out, "plain");
        assert!(
            !stack.login("plain", &good).ok && stack.decisions("plain").is_empty(),
            "the verifier is not consulted"
        );

        // REQUIRE SSL: MySQL tells the plugin that TLS is missing; MariaDB checks after the plugin.
        let before = stack.decisions("app").len();
        let output = run(&mut stack.client_without_tls("app", &good, "SELECT 1"));
        assert!(!output.ok, "{output:?}");
        let asked = stack.decisions("app").split_off(before);
        match engine {
            Engine::Mysql => {
                assert!(output.err.contains(&stack.kind().denial("app")), "{output:?}");
                assert_eq!(asked.last().map(|record| &record["class"]), Some(&"no-tls".into()));
            }
            _ => assert!(output.err.contains(&stack.kind().denial("app")), "{output:?}"),
        }

        // Host patterns, roles and locked accounts.
        stack.sql("CREATE USER 'far'@'10.%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");
        let far = stack.login("far", &good);
        assert!(!far.ok && far.err.contains("ERROR 1045"), "{far:?}");
        stack.sql(
            "CREATE ROLE reader; GRANT SELECT ON mysql.user TO reader; GRANT reader TO 'app'@'%'",
        );
        let output = run(&mut stack.client(
            "app",
            &good,
            "SET ROLE reader; SELECT COUNT(*) > 0 FROM mysql.user",
        ));
        assert_eq!(output.out, "1", "{output:?}");
        stack.sql("ALTER USER 'app'@'%' ACCOUNT LOCK");
        let locked = stack.login("app", &good).err;
        let number = if engine == Engine::Mysql { "ERROR 3118" } else { "ERROR 4151" };
        assert!(locked.contains(number) && locked.contains("locked"), "{locked}");
    });
}

#[test]
fn rds_superuser_role_exists() {
    each(|stack| {
        let _made = stack.must(&["user", "create", "steward"]);
        stack.sql("GRANT rds_superuser_role TO 'steward'@'%'");
        let good = stack.token(&stack.credentials(&["--user", "steward"]), "steward");
        let sql = "SET ROLE rds_superuser_role; CREATE DATABASE orders; CREATE USER clerk \
         IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; \
                   GRANT SELECT ON orders.* TO clerk; SELECT 'done'";
        let output = run(&mut stack.client("steward", &good, sql));
        assert_eq!(output.out, "done", "{output:?}");
    });
}

#[test]
fn plugin_settings_are_read_only_and_the_plugin_is_permanent() {
    each(|stack| {
        for variable in ["socket", "instance", "timeout", "verifier_user", "verifier_uid"] {
            let output = error(
                stack,
                &format!("SET GLOBAL awsauthenticationplugin_{variable} = '/tmp/mine'"),
            );
            assert!(output.contains("ERROR 1238") && output.contains("read only"), "{output}");
        }
        let output = error(stack, "UNINSTALL PLUGIN AWSAuthenticationPlugin");
        assert!(
            output.contains("ERROR 1702") || output.contains("FORCE_PLUS_PERMANENT"),
            "{output}"
        );
        assert_eq!(
            stack.sql("SELECT @@awsauthenticationplugin_instance"),
            stack.kind().engine().as_str()
        );
    });
}

#[test]
fn administrator_is_rejected_as_iam_user() {
    each(|stack| {
        stack.sql("CREATE USER boss IDENTIFIED BY 'hunter2'; GRANT ALL PRIVILEGES ON *.* TO boss");
        let output = run(&mut stack.local(&["user", "create", "boss"]));
        assert!(output.status == Some(5) && output.err.contains("superuser"), "{output:?}");
        // The administrator on the Unix socket has another account than `root` over TCP.
        let _made = stack.must(&["user", "create", "root"]);
        assert_eq!(stack.sql("SELECT CURRENT_USER()"), "root@localhost");
        let good = stack.token(&stack.credentials(&["--user", "root"]), "root");
        let output = run(&mut stack.client("root", &good, "SELECT COUNT(*) FROM mysql.user"));
        assert!(output.err.contains("SELECT command denied"), "{output:?}");
    });
}
