//! Several authorities that share one PostgreSQL store, which is a server of a stack.

use std::time::{Duration, Instant, SystemTime};

use countersign_authority::key_lookup::ResolvedKey;
use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::store::{NewIdentity, Store, StoreLocation};
use countersign_core::credentials::Secret;
use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use countersign_e2e::{ServerKind, Stack, run};

/// Stack whose PostgreSQL has a database for authorities, and the URL of that database.
pub(crate) struct Shared {
    pub(crate) stack: Stack,
    pub(crate) url: String,
}

pub(crate) const PASSWORD: &str = "not-for-keeps";

impl Shared {
    pub(crate) fn new() -> Self {
        let stack = Stack::up(ServerKind::Pam, &[]);
        for sql in [
            &*format!("CREATE USER authority PASSWORD '{PASSWORD}'"),
            "CREATE DATABASE state OWNER authority",
        ] {
            let output = run(&mut stack.local(&["psql", "--", "-c", sql]));
            assert!(output.ok, "{output:?}");
        }
        let env = stack.env(&[]);
        let url = format!(
            "postgres://authority@{}:{}/state?sslrootcert={}",
            env["PGHOST"], env["PGPORT"], env["PGSSLROOTCERT"]
        );
        Self { stack, url }
    }

    fn open(&self) -> Store {
        let Ok(StoreLocation::Postgres(mut location)) = self.url.parse() else {
            panic!("{}", self.url)
        };
        location.password = Secret::new(PASSWORD);
        Store::open_at(&StoreLocation::Postgres(location)).unwrap()
    }
}

fn account() -> AccountId {
    "123456789012".parse().unwrap()
}

fn user(name: &str) -> Identity {
    Identity::new(account(), IdentityKind::User, name).unwrap()
}

fn within_a_second(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        // The documented limit is one second; a busy machine may take longer.
        assert!(began.elapsed() < Duration::from_secs(5), "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn changes_of_one_authority_reach_the_other_within_a_second() {
    let shared = Shared::new();
    let (first, second) = (shared.open(), shared.open());
    first.ensure_account(&account(), Partition::Aws).unwrap();
    let new = NewIdentity { identity: &user("jane"), trust: None, policy: None };
    let key = first.create_identity(&new, SystemTime::now()).unwrap().unwrap();
    let status = |store: &Store| {
        let state = store.state().unwrap();
        ResolvedKey::find(&state, store.sealing(), &key.access_key_id, None)
            .ok()
            .map(|key| key.status)
    };
    within_a_second("the new key", || status(&second) == Some(KeyStatus::Active));
    second.set_key_status(&key.access_key_id, KeyStatus::Inactive).unwrap();
    within_a_second("the deactivation of the key", || status(&first) == Some(KeyStatus::Inactive));

    // Concurrent writes are not lost, and each authority decrypts the secrets of the other.
    std::thread::scope(|scope| {
        for (store, name) in [(&first, "first"), (&second, "second")] {
            scope.spawn(move || {
                for number in 0..20 {
                    let new = NewIdentity {
                        identity: &user(&format!("{name}-{number}")),
                        trust: None,
                        policy: None,
                    };
                    store.create_identity(&new, SystemTime::now()).unwrap();
                }
            });
        }
    });
    for store in [&first, &second, &shared.open()] {
        within_a_second("every user", || store.state().unwrap().users.size() == 41);
    }
    let request = countersign_authority::store::SessionRequest {
        identity: &user("jane"),
        name: None,
        duration: Duration::from_secs(900),
        policy: None,
    };
    let session = first.create_session(&request, SystemTime::now()).unwrap();
    let token = session.session_token.as_ref().map(Secret::expose);
    assert!(
        ResolvedKey::find(
            &second.state().unwrap(),
            second.sealing(),
            &session.access_key_id,
            token
        )
        .is_ok()
    );
}

#[test]
fn authority_reports_a_lost_store_and_recovers() {
    let shared = Shared::new();
    let store = shared.open();
    store.ensure_account(&account(), Partition::Aws).unwrap();
    assert_eq!(shared.stack.must(&["down"]), "");
    within_a_second("the loss of the server", || store.state().is_err());
    let output = store.state().unwrap_err().to_string();
    assert!(output.contains("postgres://authority@") && !output.contains(PASSWORD), "{output}");
    shared.stack.start();
    within_a_second("the return of the server", || {
        store.state().is_ok_and(|state| state.accounts.size() == 1)
    });
}

#[test]
fn store_with_an_untrusted_certificate_is_rejected() {
    let shared = Shared::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("ca.pem");
    std::fs::write(
        &other,
        rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem(),
    )
    .unwrap();
    let Ok(StoreLocation::Postgres(mut location)) = shared.url.parse() else {
        panic!("{}", shared.url)
    };
    location.password = Secret::new(PASSWORD);
    location.root_certificates = Some(other);
    let refused = Store::open_at(&StoreLocation::Postgres(location)).unwrap_err().to_string();
    assert!(refused.contains("certificate") && !refused.contains(PASSWORD), "{refused}");
}
