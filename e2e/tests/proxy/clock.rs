//! Expiry of tokens and credentials, tested with a manual clock.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use countersign_core::timestamp::rfc3339;
use countersign_e2e::{ClientSession, ProxyFixture, Stack, protocols, wait_until, ways};

use crate::library::{CLOCK_DELAY, Library, keys, minutes};

#[test]
fn sessions_outlive_their_tokens_and_later_logins_use_new_tokens() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let mut proxy = Library::start(&stack, &site, "off", &keys(stack.env(&["--temporary"])));
        let open = || ClientSession::open(kind, &mut site.session(kind, "app"));
        let mut first = open();
        assert_eq!(first.ask("SELECT 1"), "1", "{}", first.complaints());
        let minted = proxy.minted();
        let mut second = open();
        assert_eq!(second.ask("SELECT 1"), "1");
        assert_eq!((proxy.minted(), minted.len()), (minted.clone(), 1), "a token is reused");
        proxy.advance(CLOCK_DELAY);
        assert_eq!(first.ask("SELECT 2"), "2");
        let mut third = open();
        assert_eq!(third.ask("SELECT 1"), "1");
        assert!(proxy.minted()[0] > minted[0], "a token is not used for longer than ten minutes");
        assert_eq!(stack.last_class("app"), None);
        assert_eq!(second.ask("SELECT 3"), "3");
    }
}

/// Response of the container credentials endpoint. Without one, it closes the connection.
type EndpointResponse = Arc<Mutex<Option<String>>>;

/// Starts a container credentials endpoint, and returns its port. Source: "Amazon ECS task IAM
/// role" in AWS's guide.
fn start_credentials_endpoint(response: &EndpointResponse) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let response = Arc::clone(response);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Without a response the connection is closed, and the client retries. The request has
            // no body.
            let Some(body) = response.lock().unwrap().clone() else {
                continue;
            };
            let mut head = [0; 4096];
            let _read = client.read(&mut head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \
                 {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _taken = client.write_all(answer.as_bytes());
        }
    });
    port
}

fn credentials_json(env: &HashMap<String, String>, ends: SystemTime) -> String {
    serde_json::json!({
        "AccessKeyId": env["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": env["AWS_SECRET_ACCESS_KEY"],
        "Token": env["AWS_SESSION_TOKEN"],
        "Expiration": rfc3339(ends),
    })
    .to_string()
}

#[test]
fn credentials_are_used_until_they_expire_if_a_refresh_fails() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let (old, new) = (stack.env(&["--temporary"]), stack.env(&["--temporary"]));
        let began = SystemTime::now() - CLOCK_DELAY;
        let source =
            EndpointResponse::new(Mutex::new(Some(credentials_json(&old, began + minutes(13)))));
        let url = format!("http://127.0.0.1:{}/credentials", start_credentials_endpoint(&source));
        let mut proxy = Library::start(
            &stack,
            &site,
            "off",
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), url)].into(),
        );
        let login = || site.login(kind, "app");
        let output = login();
        assert_eq!(output.out, "app", "{output:?}");
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // The credentials are due for a refresh, and the endpoint is unavailable.
        *source.lock().unwrap() = None;
        proxy.advance(minutes(11));
        for _ in 0..3 {
            let output = login();
            assert_eq!(output.out, "app", "{output:?}");
        }
        wait_until("the failure in the status", || {
            proxy.status()["targets"][0]["credentials"]["failure"].is_string()
        });
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // The endpoint is back: the next login triggers the refresh without waiting for it.
        *source.lock().unwrap() = Some(credentials_json(&new, SystemTime::now() + minutes(60)));
        proxy.advance(minutes(1));
        wait_until("the new key", || {
            login().out == "app" && proxy.key() == new["AWS_ACCESS_KEY_ID"]
        });
        proxy.advance(minutes(2));
        let output = login();
        assert_eq!(output.out, "app", "{output:?}");
        assert_eq!(stack.last_class("app"), None);
    }
}
