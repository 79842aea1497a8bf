use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{AccountId, Engine};
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use tempfile::TempDir;

use super::{ControlKind, Identity, IdentityKind, Instance, NewIdentity, PolicySlot, SessionRequest, Store, StoreError};

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
    let region: countersign_core::region::Region = "us-east-1".parse().unwrap();
    let endpoint = |host: &str, port| Endpoint { engine: Engine::Postgres, host: host.parse().unwrap(), port, region: region.clone() };
    Instance {
        name: "orders".parse().unwrap(),
        account: account(),
        resource_id: "cluster-ABC123".parse().unwrap(),
        engine: Engine::Postgres,
        iam_enabled: true,
        endpoints: vec![endpoint("writer.example", 5432), endpoint("reader.example", 5433)],
        region,
    }
}

#[test]
fn what_is_written_is_there_after_opening_again_and_for_others_at_once() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (store(&directory), store(&directory));
    first.put_instance(&orders()).unwrap();
    let key = make(&first, &user("jane")).unwrap().unwrap();
    assert_eq!(second.instance(&orders().name).unwrap(), Some(orders()));
    drop((first, second));
    let found = store(&directory).key(&key.access_key_id).unwrap().unwrap();
    assert_eq!(found.owner.arn.as_str(), "arn:aws:iam::123456789012:user/jane");
    assert!(found.credentials.secret.matches(key.secret.expose()));
}

#[test]
fn nobody_else_can_read_the_state() {
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
fn keys_are_switched_off_and_on() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    let id = make(&store, &user("jane")).unwrap().unwrap().access_key_id;
    store.set_key_status(&id, KeyStatus::Inactive).unwrap();
    assert_eq!(store.key(&id).unwrap().unwrap().status, KeyStatus::Inactive);
    let second = store.create_access_key(&user("jane"), SystemTime::now()).unwrap().access_key_id;
    let listed: Vec<_> = store.access_keys(&user("jane")).unwrap().into_iter().map(|key| (key.id, key.status)).collect();
    assert_eq!(listed, [(id.clone(), KeyStatus::Inactive), (second, KeyStatus::Active)]);
    store.set_key_status(&id, KeyStatus::Active).unwrap();
    assert_eq!(store.key(&id).unwrap().unwrap().status, KeyStatus::Active);
    assert!(matches!(store.set_key_status(&"AKIANOBODY".parse().unwrap(), KeyStatus::Active), Err(StoreError::Missing(_))));
    assert!(store.key(&"AKIANOBODY".parse().unwrap()).unwrap().is_none());
}

#[test]
fn a_role_s_session_has_the_role_behind_it_and_an_end() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &role("reporting")).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request =
        SessionRequest { identity: &role("reporting"), name: Some("monday"), duration: Duration::from_secs(900), policy: Some(ALLOW) };
    let session = store.create_session(&request, now).unwrap();
    let found = store.key(&session.access_key_id).unwrap().unwrap();
    assert_eq!(found.owner.arn.as_str(), "arn:aws:sts::123456789012:assumed-role/reporting/monday");
    assert_eq!(found.owner.role.as_ref().unwrap().as_str(), "arn:aws:iam::123456789012:role/reporting");
    assert!(found.owner.unique_id.starts_with("AROA") && found.owner.unique_id.ends_with(":monday"));
    assert_eq!(found.credentials.expires, Some(now + Duration::from_secs(900)));
    assert!(found.credentials.session_token.unwrap().matches(session.session_token.unwrap().expose()));
    assert_eq!(store.documents(&store.key(&session.access_key_id).unwrap().unwrap(), &account()).unwrap().session.len(), 1);
    for request in [SessionRequest { name: None, policy: None, ..request }, SessionRequest { name: Some("a b"), policy: None, ..request }] {
        assert!(matches!(store.create_session(&request, now), Err(StoreError::Corrupt(_))));
    }
}

#[test]
fn policies_are_checked_before_they_are_kept() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &user("jane")).unwrap();
    let refused = store.put_policy(&user("jane"), PolicySlot::Inline, "bad", &ALLOW.replace("Allow", "Maybe")).unwrap_err().to_string();
    assert!(refused.contains("\"bad\"") && refused.contains("$.Statement.Effect"), "{refused}");
    assert!(matches!(store.put_policy(&user("john"), PolicySlot::Inline, "ok", ALLOW), Err(StoreError::Missing(_))));
    store.put_policy(&user("jane"), PolicySlot::Inline, "ok", ALLOW).unwrap();
    store.put_policy(&user("jane"), PolicySlot::Inline, "ok", ALLOW).unwrap();
    store.put_policy(&user("jane"), PolicySlot::Boundary, "edge", ALLOW).unwrap();
    store.put_control_policy(&account(), ControlKind::Service, 0, "root", ALLOW).unwrap();
    store.put_control_policy(&account(), ControlKind::Service, 2, "account", ALLOW).unwrap();
    store
        .put_control_policy(&account(), ControlKind::Resource, 0, "root", &ALLOW.replace("\"Action\"", "\"Principal\":\"*\",\"Action\""))
        .unwrap();
    let key = store.create_access_key(&user("jane"), SystemTime::now()).unwrap();
    let key = store.key(&key.access_key_id).unwrap().unwrap();
    let documents = store.documents(&key, &account()).unwrap();
    assert_eq!((documents.inline.len(), documents.boundaries.len(), documents.session.len()), (1, 1, 0));
    assert_eq!((documents.service_control.len(), documents.resource_control.len()), (2, 1));
    assert!(store.delete_policy(&user("jane"), PolicySlot::Inline, "ok").unwrap());
    assert!(!store.delete_policy(&user("jane"), PolicySlot::Inline, "ok").unwrap());
}

#[test]
fn what_exists_and_what_is_missing_is_said() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    make(&store, &user("jane")).unwrap();
    let twice = make(&store, &user("jane")).unwrap_err().to_string();
    assert_eq!(twice, "the user \"jane\" in account 123456789012 exists already");
    let elsewhere = Identity { account: "999999999999".parse().unwrap(), ..user("jane") };
    assert_eq!(make(&store, &elsewhere).unwrap_err().to_string(), "there is no account 999999999999");
    let other = Instance { name: "billing".parse().unwrap(), ..orders() };
    store.put_instance(&orders()).unwrap();
    assert!(store.put_instance(&other).unwrap_err().to_string().contains("cluster-ABC123 exists already"));
    assert!(Identity::new(account(), IdentityKind::User, "a/b").is_err());
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(store(&directory));
    let state = directory.path().join("state");
    rusqlite::Connection::open(state.join("authority.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&state), Err(StoreError::Schema { found: 99, .. })));
}

#[test]
fn a_user_is_made_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let store = store(&directory);
    let (jane, now) = (user("jane"), SystemTime::now());
    let bad = ALLOW.replace("Allow", "Maybe");
    let with = |document| NewIdentity { identity: &jane, trust: None, policy: Some(("connect", document)) };
    assert!(matches!(store.create_identity(&with(&bad), now), Err(StoreError::Policy { .. })));
    assert!(matches!(store.access_keys(&jane), Err(StoreError::Missing(_))));
    store.create_identity(&with(ALLOW), now).unwrap();
    assert_eq!(store.policy(&jane, PolicySlot::Inline, "connect").unwrap().as_deref(), Some(ALLOW));
    assert_eq!(store.access_keys(&jane).unwrap().len(), 1);
}

#[test]
fn opening_the_store_once_more_lets_go_of_no_lock() {
    use std::os::unix::fs::MetadataExt;

    // POSIX locks are a process's: closing any descriptor of the file lets go of all of them, and then another process that
    // closes the database takes its log away from under this one.
    let directory = tempfile::tempdir().unwrap();
    let _daemon = Store::open(directory.path()).unwrap();
    drop(Store::open(directory.path()).unwrap());
    let inode = directory.path().join("authority.db").metadata().unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    // `1: POSIX  ADVISORY  READ 4711 fe:00:1234 FIRST LAST`, the shared lock being 510 bytes behind the first gigabyte.
    let held = |line: &str| line.contains(&format!(":{inode} 1073741826 1073742335"));
    assert!(locks.lines().any(held), "no lock on inode {inode}:\n{locks}");
}
