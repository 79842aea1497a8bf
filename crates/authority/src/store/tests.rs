use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccountId, Engine};
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use tempfile::TempDir;

use super::{ControlKind, NewIdentity, SessionRequest, Store, StoreError};
use crate::key_lookup::{KeyLookupError, ResolvedKey};
use crate::model::{Address, Identity, IdentityKind, Instance};

const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}}"#;

fn account() -> AccountId {
    "123456789012".parse().unwrap()
}

fn user(name: &str) -> Identity {
    Identity::new(account(), IdentityKind::User, name).unwrap()
}

fn role(name: &str) -> Identity {
    Identity::new(account(), IdentityKind::Role, name).unwrap()
}

fn store(directory: &TempDir) -> Store {
    let store = Store::open(&directory.path().join("state")).unwrap();
    store.ensure_account(&account(), Partition::Aws).unwrap();
    store
}

fn make(store: &Store, identity: &Identity) -> Result<Option<Credentials>, StoreError> {
    store.create_identity(&NewIdentity { identity, trust: None, policy: None }, SystemTime::now())
}

fn orders() -> Instance {
    let address =
        |host: &str, port| Address { host: host.parse().unwrap(), port, resource_id: None };
    Instance {
        name: "orders".parse().unwrap(),
        account: account(),
        resource_id: "cluster-ABC123".parse().unwrap(),
        engine: Engine::Postgres,
        iam_enabled: true,
        addresses: vec![address("writer.example", 5432), address("reader.example", 5433)],
        region: "us-east-1".parse().unwrap(),
    }
}

/// Looks up `key`, which came with its token.
fn lookup(store: &Store, key: &Credentials) -> Result<ResolvedKey, KeyLookupError> {
    ResolvedKey::find(
        &store.state().unwrap(),
        store.sealing(),
        &key.access_key_id,
        key.session_token.as_ref().map(Secret::expose),
    )
}

#[test]
fn written_records_persist_and_are_visible_to_other_handles_at_once() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (store(&directory), store(&directory));
    first.put_instance(&orders()).unwrap();
    let key = make(&first, &user("jane")).unwrap().unwrap();
    assert_eq!(*second.instance(&orders().name).unwrap().unwrap(), orders());
    drop((first, second));
    let found = lookup(&store(&directory), &key).unwrap();
    assert_eq!(found.identity.owner.arn.as_str(), "arn:aws:iam::123456789012:user/jane");
    assert!(found.credentials.secret.ct_eq(key.secret.expose()));
}

#[test]
fn only_the_owner_can_read_the_files() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &user("jane")).unwrap();
    let state = directory.path().join("state");
    assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(state).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn keys_are_deactivated_and_activated() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    let key = make(&store, &user("jane")).unwrap().unwrap();
    let id = key.access_key_id.clone();
    store.set_key_status(&id, KeyStatus::Inactive).unwrap();
    assert_eq!(lookup(&store, &key).unwrap().status, KeyStatus::Inactive);
    let second = store.create_access_key(&user("jane"), SystemTime::now()).unwrap().access_key_id;
    let listed: Vec<_> = store
        .access_keys(&user("jane"))
        .unwrap()
        .into_iter()
        .map(|key| (key.id.clone(), key.status))
        .collect();
    assert_eq!(listed, [(id.clone(), KeyStatus::Inactive), (second, KeyStatus::Active)]);
    store.set_key_status(&id, KeyStatus::Active).unwrap();
    assert_eq!(lookup(&store, &key).unwrap().status, KeyStatus::Active);
    assert!(matches!(
        store.set_key_status(&"AKIAUNKNOWN".parse().unwrap(), KeyStatus::Active),
        Err(StoreError::NotFound(_))
    ));
    let unknown = Credentials { access_key_id: "AKIAUNKNOWN".parse().unwrap(), ..key };
    assert_eq!(lookup(&store, &unknown).unwrap_err(), KeyLookupError::Unknown);
}

#[test]
fn a_role_session_resolves_to_its_role_and_has_an_expiry() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &role("reporting")).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request = SessionRequest {
        identity: &role("reporting"),
        name: Some("monday"),
        duration: Duration::from_secs(900),
        policy: Some(ALLOW),
    };
    let session = store.create_session(&request, now).unwrap();
    let found = lookup(&store, &session).unwrap();
    assert_eq!(
        found.identity.owner.arn.as_str(),
        "arn:aws:sts::123456789012:assumed-role/reporting/monday"
    );
    assert_eq!(
        found.identity.owner.role.as_ref().unwrap().as_str(),
        "arn:aws:iam::123456789012:role/reporting"
    );
    assert!(
        found.identity.owner.unique_id.starts_with("AROA")
            && found.identity.owner.unique_id.ends_with(":monday")
    );
    assert_eq!(found.credentials.expires, Some(now + Duration::from_secs(900)));
    assert!(
        found
            .credentials
            .session_token
            .unwrap()
            .ct_eq(session.session_token.as_ref().unwrap().expose())
    );
    assert_eq!(
        lookup(&store, &session)
            .unwrap()
            .identity
            .effective_policies(&store.state().unwrap(), &account())
            .session
            .len(),
        1
    );
    let bare = Credentials { session_token: None, ..session.clone() };
    assert_eq!(lookup(&store, &bare).unwrap_err(), KeyLookupError::TokenMissing);
    let other = Credentials { access_key_id: "ASIAOTHER".parse().unwrap(), ..session };
    assert_eq!(lookup(&store, &other).unwrap_err(), KeyLookupError::TokenWrong);
    for request in [
        SessionRequest { name: None, policy: None, ..request },
        SessionRequest { name: Some("a b"), policy: None, ..request },
    ] {
        assert!(matches!(store.create_session(&request, now), Err(StoreError::InvalidName(_))));
    }
}

#[test]
fn policies_are_checked_before_they_are_stored() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &user("jane")).unwrap();
    let refused = store
        .put_policy(&user("jane"), "bad", &ALLOW.replace("Allow", "Maybe"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("\"bad\"") && refused.contains("$.Statement.Effect"), "{refused}");
    assert!(matches!(store.put_policy(&user("john"), "ok", ALLOW), Err(StoreError::NotFound(_))));
    store.put_policy(&user("jane"), "ok", ALLOW).unwrap();
    store.put_policy(&user("jane"), "ok", ALLOW).unwrap();
    store.put_control_policy(&account(), ControlKind::Service, 0, "root", ALLOW).unwrap();
    store.put_control_policy(&account(), ControlKind::Service, 2, "account", ALLOW).unwrap();
    store
        .put_control_policy(
            &account(),
            ControlKind::Resource,
            0,
            "root",
            &ALLOW.replace("\"Action\"", "\"Principal\":\"*\",\"Action\""),
        )
        .unwrap();
    let key = store.create_access_key(&user("jane"), SystemTime::now()).unwrap();
    let policies = lookup(&store, &key)
        .unwrap()
        .identity
        .effective_policies(&store.state().unwrap(), &account());
    assert_eq!(
        (policies.identity.len(), policies.boundaries.len(), policies.session.len()),
        (1, 0, 0)
    );
    assert_eq!((policies.service_control.len(), policies.resource_control.len()), (3, 1));
    assert!(store.delete_policy(&user("jane"), "ok").unwrap());
    assert!(!store.delete_policy(&user("jane"), "ok").unwrap());
}

#[test]
fn existing_and_missing_records_are_reported() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &user("jane")).unwrap();
    let twice = make(&store, &user("jane")).unwrap_err().to_string();
    assert_eq!(twice, "cannot create user \"jane\" in account 123456789012: it already exists");
    let elsewhere = Identity { account: "999999999999".parse().unwrap(), ..user("jane") };
    assert_eq!(
        make(&store, &elsewhere).unwrap_err().to_string(),
        "cannot find account 999999999999"
    );
    let other = Instance { name: "billing".parse().unwrap(), ..orders() };
    store.put_instance(&orders()).unwrap();
    assert!(
        store
            .put_instance(&other)
            .unwrap_err()
            .to_string()
            .contains("cluster-ABC123: it already exists")
    );
    assert!(Identity::new(account(), IdentityKind::User, "a/b").is_err());
}

#[test]
fn a_store_of_another_version_is_not_changed() {
    let directory = TempDir::new().unwrap();
    drop(store(&directory));
    let state = directory.path().join("state");
    rusqlite::Connection::open(state.join("authority.db"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(Store::open(&state), Err(StoreError::Schema(_))));
}

#[test]
fn a_user_is_created_with_its_policy_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    let (jane, now) = (user("jane"), SystemTime::now());
    let bad = ALLOW.replace("Allow", "Maybe");
    let with = |document| NewIdentity {
        identity: &jane,
        trust: None,
        policy: Some(("connect", document)),
    };
    assert!(matches!(store.create_identity(&with(&bad), now), Err(StoreError::Policy { .. })));
    assert!(matches!(store.access_keys(&jane), Err(StoreError::NotFound(_))));
    store.create_identity(&with(ALLOW), now).unwrap();
    assert_eq!(store.policy(&jane, "connect").unwrap().as_deref(), Some(ALLOW));
    assert_eq!(store.access_keys(&jane).unwrap().len(), 1);
}

#[test]
fn opening_the_store_again_releases_no_lock() {
    use std::os::unix::fs::MetadataExt;

    // POSIX locks belong to the process: closing any descriptor of the file releases all of them.
    // Another process that closes the database would then delete the write-ahead log of this one.
    let directory = tempfile::tempdir().unwrap();
    let _daemon = Store::open(directory.path()).unwrap();
    drop(Store::open(directory.path()).unwrap());
    let inode = directory.path().join("authority.db").metadata().unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    // `1: POSIX  ADVISORY  READ 4711 fe:00:1234 FIRST LAST`. The shared lock covers 510 bytes after
    // the first gigabyte and two bytes.
    let held = |line: &str| line.contains(&format!(":{inode} 1073741826 1073742335"));
    assert!(locks.lines().any(held), "no lock on inode {inode}:\n{locks}");
}

#[test]
fn a_conflicting_change_is_repeated_on_the_newer_state() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (store(&directory), store(&directory));
    make(&first, &user("jane")).unwrap();
    let mut runs = 0;
    let seen = second.change(|draft| {
        runs += 1;
        if runs == 1 {
            make(&first, &user("john")).unwrap();
        }
        let mut jane = crate::model::User::clone(draft.users.get("123456789012/jane").unwrap());
        jane.tags.insert("team".to_owned(), "blue".to_owned());
        draft.put(jane)?;
        Ok::<_, StoreError>(draft.users.size())
    });
    assert_eq!((runs, seen.unwrap()), (2, 2));
    let state = first.state().unwrap();
    assert_eq!(state.users.get("123456789012/jane").unwrap().tags.get("team").unwrap(), "blue");
    assert_eq!(state.of_account::<crate::model::User>("123456789012").count(), 2);
}

#[test]
fn a_corrupt_record_is_an_error_for_every_caller() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    let file = rusqlite::Connection::open(directory.path().join("state/authority.db")).unwrap();
    file.execute("INSERT INTO record VALUES ('user', 'x', 9, '{\"secret\": \"hunter2\"}')", [])
        .unwrap();
    for _ in 0..2 {
        let refused = store.state().unwrap_err();
        assert!(
            matches!(refused, StoreError::Corrupt(_)) && !refused.to_string().contains("hunter2"),
            "{refused}"
        );
    }
}

#[test]
fn a_deleted_record_is_gone_for_other_handles_and_after_opening_again() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (store(&directory), store(&directory));
    first.put_instance(&orders()).unwrap();
    assert!(second.delete_instance(&orders().name).unwrap());
    assert!(first.instance(&orders().name).unwrap().is_none());
    drop((first, second));
    assert!(store(&directory).instance_names().unwrap().is_empty());
}
