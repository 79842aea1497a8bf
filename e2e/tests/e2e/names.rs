//! Users, hosts and session tokens that are not plain words.

use countersign_core::credentials::{Credentials, Secret};
use countersign_e2e::{Stack, authentications, run};

#[test]
fn users_with_signs_spaces_and_letters_of_any_script() {
    for way in authentications() {
        let stack = Stack::up(way);
        for (at, user) in
            ["user.name+x@corp", "a/b", "with space", "zoë.日本", "O'Brien\"s", "x,dc=postgres", "50%", "a&b=c", "star*"].iter().enumerate()
        {
            let name = format!("iam{at}");
            let _made = stack.must(&["user", "create", &name, "--db-user", user]);
            let env = stack.env(&["--user", &name]);
            let mut token = countersign_e2e::countersign();
            token.args(["token", "--hostname", &env["PGHOST"], "--port", &env["PGPORT"], "--username", user]);
            let token = run(token.envs(&env));
            let said = stack.psql(user, &token.out, "select current_user");
            assert_eq!(said.out, *user, "{said:?}");
            assert_eq!(stack.last_class(user), None);
        }
        // Another's grant does not reach: `star*` may not be anybody who begins with star.
        stack.sql("CREATE ROLE starfish LOGIN IN ROLE rds_iam");
        let star = stack.token(&stack.credentials(&["--user", "iam8"]), "starfish");
        assert!(!stack.psql("starfish", &star, "select 1").ok);
        assert_eq!(stack.last_class("starfish").as_deref(), Some("not-allowed"));
    }
}

#[test]
fn hosts_in_capitals_and_by_address() {
    let stack = Stack::up("ldap");
    let key = stack.credentials(&[]);
    for host in ["LOCALHOST", "LocalHost", "127.0.0.1"] {
        let endpoint = countersign_core::endpoint::Endpoint { host: host.parse().unwrap(), ..stack.endpoint() };
        let token = countersign_e2e::token(&key, &endpoint, "app", std::time::SystemTime::now());
        let said = run(stack.psql_command("app", &token, "select 1").env("PGHOST", host));
        assert!(said.ok, "{host}: {said:?}");
    }
}

#[test]
fn session_tokens_of_eight_kibibytes() {
    for way in authentications() {
        let stack = Stack::up(way);
        let short = stack.credentials(&["--temporary"]);
        for length in [1_874, 8_192, 20_000] {
            // AWS's are of any length: the authority's own are not that long.
            let long = "A+/=".repeat(length / 4);
            let store = rusqlite::Connection::open(stack.directory().join("authority/state/authority.db")).unwrap();
            let changed =
                store.execute("UPDATE session SET token = ?1 WHERE access_key = ?2", [&long, short.access_key_id.as_str()]).unwrap();
            assert_eq!(changed, 1);
            let key = Credentials { session_token: Secret::new(long), ..short.clone() };
            let token = stack.token(&key, "app");
            assert!(token.len() > length);
            let said = stack.psql("app", &token, "select 1");
            assert!(said.ok, "{length} by {way}: {said:?}");
        }
    }
}
