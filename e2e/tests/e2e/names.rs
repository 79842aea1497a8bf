//! Users, hosts and session tokens with unusual characters and lengths.

use countersign_core::name::Engine;
use countersign_e2e::{Stack, padded_session, run, ways, ways_of};

#[test]
fn user_names_with_punctuation_spaces_and_non_latin_letters() {
    for kind in ways() {
        let stack = Stack::up(kind, &[]);
        for (at, user) in [
            "user.name+x@corp",
            "a/b",
            "with space",
            "zoë.日本",
            "O'Brien\"s",
            "x,dc=postgres",
            "50%",
            "a&b=c",
            "star*",
        ]
        .iter()
        .enumerate()
        {
            let name = format!("iam{at}");
            let _made = stack.must(&["user", "create", &name, "--db-user", user]);
            let env = stack.env(&["--user", &name]);
            let [host, port, _] = kind.variables().map(|name| &env[name]);
            let mut token = countersign_e2e::countersign();
            token.args(["token", "--hostname", host, "--port", port, "--username", user]);
            let token = run(token.envs(&env));
            let output = stack.login(user, &token.out);
            assert_eq!(output.out, *user, "{output:?}");
            assert_eq!(stack.last_class(user), None);
        }
        // The user name `star*` is not a wildcard: its grant does not cover `starfish`.
        let _made = stack.sql(match kind.engine() {
            Engine::Postgres => "CREATE ROLE starfish LOGIN IN ROLE rds_iam",
            _ => "CREATE USER starfish IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'",
        });
        let star = stack.token(&stack.credentials(&["--user", "iam8"]), "starfish");
        assert!(!stack.login("starfish", &star).ok);
        assert_eq!(stack.last_class("starfish").as_deref(), Some("not-allowed"));
    }
}

#[test]
fn hosts_in_upper_case_and_as_addresses() {
    for kind in ways_of(&[Engine::Postgres, Engine::Mariadb]) {
        let stack = Stack::up(kind, &[]);
        let key = stack.credentials(&[]);
        for host in ["LOCALHOST", "LocalHost", "127.0.0.1"] {
            let endpoint = countersign_core::endpoint::Endpoint {
                host: host.parse().unwrap(),
                ..stack.endpoint()
            };
            let token =
                countersign_e2e::token(&key, &endpoint, "app", std::time::SystemTime::now());
            let mut client = stack.client("app", &token, "select 1");
            let output = match kind.engine() {
                Engine::Postgres => run(client.env("PGHOST", host)),
                _ => run(client.arg(format!("--host={host}"))),
            };
            assert!(output.ok, "{host}: {output:?}");
        }
    }
}

#[test]
fn session_tokens_of_up_to_15000_bytes() {
    for kind in ways() {
        let stack = Stack::up(kind, &[]);
        // The authority issues session tokens of up to 16 KiB.
        for length in [1_874, 8_192, 15_000] {
            let key = padded_session(stack.directory(), length * 3 / 4);
            let token = stack.token(&key, "app");
            assert!(token.len() > length);
            let output = stack.login("app", &token);
            assert!(output.ok, "{length} by {kind:?}: {output:?}");
        }
    }
}
