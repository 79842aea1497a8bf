//! Users, hosts and session tokens with unusual characters and lengths.

use countersign_core::name::Engine;
use countersign_e2e::{Stack, padded_session, run, ways, ways_of};

#[test]
fn user_names_with_punctuation_spaces_and_non_latin_letters() {
    for way in ways() {
        let stack = Stack::up(way, &[]);
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
            let [host, port, _] = way.variables().map(|name| &env[name]);
            let mut token = countersign_e2e::countersign();
            token.args(["token", "--hostname", host, "--port", port, "--username", user]);
            let token = run(token.envs(&env));
            let said = stack.login(user, &token.out);
            assert_eq!(said.out, *user, "{said:?}");
            assert_eq!(stack.last_class(user), None);
        }
        // The user name `star*` is not a wildcard: its grant does not cover `starfish`.
        let _made = stack.sql(match way.engine() {
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
    for way in ways_of(&[Engine::Postgres, Engine::Mariadb]) {
        let stack = Stack::up(way, &[]);
        let key = stack.credentials(&[]);
        for host in ["LOCALHOST", "LocalHost", "127.0.0.1"] {
            let endpoint = countersign_core::endpoint::Endpoint {
                host: host.parse().unwrap(),
                ..stack.endpoint()
            };
            let token =
                countersign_e2e::token(&key, &endpoint, "app", std::time::SystemTime::now());
            let mut client = stack.client("app", &token, "select 1");
            let said = match way.engine() {
                Engine::Postgres => run(client.env("PGHOST", host)),
                _ => run(client.arg(format!("--host={host}"))),
            };
            assert!(said.ok, "{host}: {said:?}");
        }
    }
}

#[test]
fn session_tokens_of_up_to_15000_bytes() {
    for way in ways() {
        let stack = Stack::up(way, &[]);
        // The authority issues session tokens of up to 16 KiB.
        for length in [1_874, 8_192, 15_000] {
            let key = padded_session(stack.directory(), length * 3 / 4);
            let token = stack.token(&key, "app");
            assert!(token.len() > length);
            let said = stack.login("app", &token);
            assert!(said.ok, "{length} by {way:?}: {said:?}");
        }
    }
}
