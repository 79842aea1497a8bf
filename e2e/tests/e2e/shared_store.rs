//! Several authorities over one PostgreSQL, which is a server of a stack.

use std::time::{Duration, Instant, SystemTime};

use countersign_authority::key_lookup::ResolvedKey;
use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::store::{NewIdentity, Store, StoreLocation};
use countersign_core::credentials::Secret;
use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use countersign_e2e::{ServerKind, Stack, run};

/// A stack whose PostgreSQL has a database for authorities, and where that is.
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
            let said = run(&mut stack.local(&["psql", "--", "-c", sql]));
            assert!(said.ok, "{said:?}");
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
        // A busy machine gets some grace: what is promised is a second.
        assert!(began.elapsed() < Duration::from_secs(5), "{what} was not seen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_one_authority_changes_the_other_sees() {
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
    within_a_second("the key", || status(&second) == Some(KeyStatus::Active));
    second.set_key_status(&key.access_key_id, KeyStatus::Inactive).unwrap();
    within_a_second("its revocation", || status(&first) == Some(KeyStatus::Inactive));

    // Both write at once: nothing is lost, and what one seals the other opens.
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
fn an_authority_that_is_cut_off_says_so_and_goes_on_when_it_can() {
    let shared = Shared::new();
    let store = shared.open();
    store.ensure_account(&account(), Partition::Aws).unwrap();
    assert_eq!(shared.stack.must(&["down"]), "");
    within_a_second("that the server is gone", || store.state().is_err());
    let said = store.state().unwrap_err().to_string();
    assert!(said.contains("postgres://authority@") && !said.contains(PASSWORD), "{said}");
    shared.stack.start();
    within_a_second("that it is back", || {
        store.state().is_ok_and(|state| state.accounts.size() == 1)
    });
}

#[test]
fn a_server_that_is_another_s_is_not_believed() {
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
