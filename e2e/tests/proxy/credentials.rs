//! AWS credentials that are rotated, or unavailable for a while.

use countersign_e2e::{ClientSession, ProxyFixture, Stack, wait_until, ways};

/// Policy that allows a login as any database user.
const ANY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}]}"#;

/// Returns the profile `app` with the keys of this IAM user.
fn profile(stack: &Stack, user: &str) -> String {
    let env = stack.env(&["--user", user]);
    let keys = (&env["AWS_ACCESS_KEY_ID"], &env["AWS_SECRET_ACCESS_KEY"]);
    format!("[app]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.0, keys.1)
}

#[test]
fn rotated_keys_are_loaded_after_the_first_denied_login() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _made = stack.must(&["user", "create", "next"]);
        let policy = site.write("policy.json", ANY).display().to_string();
        let _granted = stack.must(&["user", "grant", "next", "--policy-document", &policy]);
        let file = site.write("credentials", &profile(&stack, "app"));
        site.write(
            "countersign.toml",
            &stack.target(
                "db",
                &[
                    "user = \"app\"",
                    "profile = \"app\"",
                    "region = \"us-east-1\"",
                    "pool = \"off\"",
                ],
            ),
        );
        let _proxy = site.start(site.bare(&[]).env("AWS_SHARED_CREDENTIALS_FILE", &file));
        let mut open = ClientSession::open(kind, &mut site.session(kind, "app"));
        assert_eq!(open.ask("SELECT 1"), "1");
        // Credentials are not loaded twice within one second.
        wait_until("an age of two seconds of the first token", || {
            site.status()["targets"][0]["tokens"][0]["age"].as_f64().is_some_and(|age| age >= 2.0)
        });
        site.write("credentials", &profile(&stack, "next"));
        let _disabled = stack.must(&["user", "disable-key", "app"]);
        let output = site.login(kind, "app");
        assert_eq!(output.out, "app", "{output:?}");
        let classes: Vec<_> = stack
            .decisions("app")
            .iter()
            .map(|record| record["class"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(
            classes,
            [None, Some("inactive-key".to_owned()), None],
            "the old key is used once, then the new one"
        );
        assert!(site.login(kind, "app").ok);
        assert_eq!(stack.last_class("app"), None);
        assert_eq!(open.ask("SELECT 2"), "2", "open sessions are not affected");
        open.close();
    }
}

#[test]
fn logins_succeed_while_credentials_cannot_be_loaded() {
    let kind = ways()[0];
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let file = site.write("credentials", &profile(&stack, "app"));
    site.write(
        "countersign.toml",
        &stack.target(
            "db",
            &["user = \"app\"", "profile = \"app\"", "region = \"us-east-1\"", "pool = \"off\""],
        ),
    );
    let start = || site.start(site.bare(&[]).env("AWS_SHARED_CREDENTIALS_FILE", &file));
    let proxy = start();
    assert!(site.login(kind, "app").ok);
    std::fs::remove_file(&file).unwrap();
    for _ in 0..3 {
        let output = site.login(kind, "app");
        assert_eq!(output.out, "app", "{output:?}");
    }
    drop(proxy);
    // Without cached credentials the client receives the error, and later logins succeed once the
    // credentials are available.
    let _proxy = start();
    let output = site.login(kind, "app");
    assert!(!output.ok && output.err.contains("credentials"), "{output:?}");
    site.write("credentials", &profile(&stack, "app"));
    wait_until("a login with the new credentials", || site.login(kind, "app").ok);
}
