//! What happens as time passes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use countersign_core::timestamp::rfc3339;
use countersign_e2e::{ClientSession, ProxyFixture, Stack, protocols, wait_until, ways};

use crate::library::{BEHIND, Library, keys, minutes};

#[test]
fn sessions_outlive_their_tokens_and_later_logins_have_new_ones() {
    for way in ways() {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let mut proxy = Library::start(&stack, &site, "off", &keys(stack.env(&["--temporary"])));
        let open = || ClientSession::open(way, &mut site.session(way, "app"));
        let mut first = open();
        assert_eq!(first.ask("SELECT 1"), "1", "{}", first.complaints());
        let minted = proxy.minted();
        let mut second = open();
        assert_eq!(second.ask("SELECT 1"), "1");
        assert_eq!(
            (proxy.minted(), minted.len()),
            (minted.clone(), 1),
            "a token serves more than once"
        );
        proxy.advance(BEHIND);
        assert_eq!(first.ask("SELECT 2"), "2");
        let mut third = open();
        assert_eq!(third.ask("SELECT 1"), "1");
        assert!(proxy.minted()[0] > minted[0], "ten minutes are as old as one gets");
        assert_eq!(stack.last_class("app"), None);
        assert_eq!(second.ask("SELECT 3"), "3");
    }
}

/// What a container is given its credentials by; nothing is nobody.
type Given = Arc<Mutex<Option<String>>>;

/// The endpoint of a container's credentials. Source: "Amazon ECS task IAM role" in AWS's guide.
fn container(given: &Given) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = Arc::clone(given);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Whoever is gone asks again; the head is all that there is.
            let Some(body) = given.lock().unwrap().clone() else {
                continue;
            };
            let mut head = [0; 4096];
            let _read = client.read(&mut head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _taken = client.write_all(answer.as_bytes());
        }
    });
    port
}

fn given(env: &HashMap<String, String>, ends: SystemTime) -> String {
    serde_json::json!({
        "AccessKeyId": env["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": env["AWS_SECRET_ACCESS_KEY"],
        "Token": env["AWS_SESSION_TOKEN"],
        "Expiration": rfc3339(ends),
    })
    .to_string()
}

#[test]
fn credentials_that_can_t_be_refreshed_serve_until_they_end() {
    for way in protocols() {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let (old, new) = (stack.env(&["--temporary"]), stack.env(&["--temporary"]));
        let began = SystemTime::now() - BEHIND;
        let source = Given::new(Mutex::new(Some(given(&old, began + minutes(13)))));
        let url = format!("http://127.0.0.1:{}/credentials", container(&source));
        let mut proxy = Library::start(
            &stack,
            &site,
            "off",
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), url)].into(),
        );
        let login = || site.login(way, "app");
        let said = login();
        assert_eq!(said.out, "app", "{said:?}");
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // It is time for others, and nobody gives them.
        *source.lock().unwrap() = None;
        proxy.advance(minutes(11));
        for _ in 0..3 {
            let said = login();
            assert_eq!(said.out, "app", "{said:?}");
        }
        wait_until("that it shows", || {
            proxy.status()["targets"][0]["credentials"]["failure"].is_string()
        });
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // There they are: the next logins fetch them, and none waits for that.
        *source.lock().unwrap() = Some(given(&new, SystemTime::now() + minutes(60)));
        proxy.advance(minutes(1));
        wait_until("the new key", || {
            login().out == "app" && proxy.key() == new["AWS_ACCESS_KEY_ID"]
        });
        proxy.advance(minutes(2));
        let said = login();
        assert_eq!(said.out, "app", "{said:?}");
        assert_eq!(stack.last_class("app"), None);
    }
}
