//! Token files are written, refreshed and deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use countersign_authority::issuer::{DEFAULT_URL, STS_AUDIENCE};
use countersign_authority::model::ServiceAccount;
use countersign_authority::oidc::jwt;
use countersign_authority::store::{Store, StoreError};
use countersign_aws_api::server::state_directory;
use tempfile::TempDir;

use super::{LIFETIME, Projections, RENEWAL};
use crate::{Layout, LocalError};

fn projections(directory: &TempDir, issuer: &str) -> (Layout, Projections) {
    let layout = Layout::new(directory.path()).unwrap();
    let store = Store::open(&state_directory(&layout.authority())).unwrap();
    store.ensure_service_account("default", "app", None).unwrap();
    (layout.clone(), Projections::new(&layout, store, issuer))
}

fn claim(token: &str, name: &str) -> serde_json::Value {
    jwt::parse(token).unwrap().claim(name).unwrap().clone()
}

#[test]
fn token_file_is_private_and_replaced_after_80_percent_of_its_lifetime() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, projections) = projections(&directory, DEFAULT_URL);
    let file = projections.ensure("default", "app", STS_AUDIENCE).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(layout.identity()).unwrap().permissions().mode() & 0o777, 0o700);
    let read = || fs::read_to_string(&file).unwrap();
    let (first, now) = (read(), SystemTime::now());
    assert_eq!(claim(&first, "sub"), "system:serviceaccount:default:app");
    assert_eq!(claim(&first, "kubernetes.io")["pod"]["name"], "app-0");
    assert_eq!(projections.ensure("default", "app", STS_AUDIENCE).unwrap(), file);
    projections.renew(false, now + RENEWAL - Duration::from_secs(5));
    assert_eq!(read(), first);
    projections.renew(false, now + RENEWAL + Duration::from_secs(5));
    let second = read();
    assert!(claim(&second, "exp").as_u64() > claim(&first, "exp").as_u64(), "{:?}", LIFETIME);
    fs::write(&file, "spoilt").unwrap();
    projections.renew(false, now);
    assert_eq!(claim(&read(), "aud"), serde_json::json!([STS_AUDIENCE]));
}

#[test]
fn start_replaces_all_tokens_and_deletes_those_of_deleted_accounts() {
    let directory = tempfile::tempdir().unwrap();
    let (_, before) = projections(&directory, DEFAULT_URL);
    let file = before.ensure("default", "app", STS_AUDIENCE).unwrap();
    let (_, after) = projections(&directory, "https://issuer.example");
    after.renew(true, SystemTime::now());
    assert_eq!(claim(&fs::read_to_string(&file).unwrap(), "iss"), "https://issuer.example");
    after
        .store
        .change(|draft| Ok::<_, StoreError>(draft.remove::<ServiceAccount>("default/app")))
        .unwrap();
    assert!(matches!(
        after.ensure("default", "gone", STS_AUDIENCE),
        Err(LocalError::Store(StoreError::NotFound(_)))
    ));
    after.renew(true, SystemTime::now());
    assert!(!file.exists());
}
