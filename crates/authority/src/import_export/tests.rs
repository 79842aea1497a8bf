use std::time::{Duration, SystemTime};

use super::{ChangeKind, ImportError, ImportMode, ImportSummary, import};
use crate::store::{Store, account_key};

mod details;
mod errors;
mod round_trip;

const FILE: &str = include_str!("tests/example.toml");

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn apply(store: &Store, text: &str) -> ImportSummary {
    import(store, text, ImportMode::Apply, now()).unwrap_or_else(|error| panic!("{error}"))
}

/// Imports an invalid file, and returns its errors, one a line.
fn errors_of(text: &str) -> String {
    let (_directory, store) = store();
    let before = store.state().unwrap();
    match import(&store, text, ImportMode::Apply, now()) {
        Err(ImportError::InvalidFile(errors)) => {
            assert!(std::sync::Arc::ptr_eq(&before, &store.state().unwrap()), "nothing is applied");
            errors.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_import_of_a_file_changes_nothing() {
    let (_directory, store) = store();
    let first = apply(&store, FILE);
    assert!(first.changes.iter().all(|change| change.action == ChangeKind::Created));
    assert_eq!(first.keys.len(), 1, "ci requests a key");
    let before = store.state().unwrap();

    let second =
        import(&store, FILE, ImportMode::Apply, now() + Duration::from_secs(3600)).unwrap();
    assert_eq!(
        (second.changes.len(), second.unchanged, second.keys.len()),
        (0, first.changes.len() - 1, 0),
        "its key is not in the file"
    );
    assert!(std::sync::Arc::ptr_eq(&before, &store.state().unwrap()));

    let user = before.users.get(&account_key("123456789012", "jane")).unwrap();
    assert_eq!(user.path, "/people/");
    assert_eq!(user.groups.iter().collect::<Vec<_>>(), ["developers"]);
    assert_eq!(user.boundary.as_deref(), Some("arn:aws:iam::aws:policy/PowerUserAccess"));
    assert!(
        user.inline.get("connect").unwrap().contains(
            "\"Resource\": \"arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ORDERS/jane\""
        )
    );
    assert_eq!(
        user.access_keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["AKIAIOSFODNN7EXAMPLE"]
    );
    let group = before.groups.get(&account_key("123456789012", "developers")).unwrap();
    assert_eq!(
        group.attached.iter().collect::<Vec<_>>(),
        ["arn:aws:iam::123456789012:policy/teams/read-orders"]
    );
    let role = before.roles.get(&account_key("123456789012", "deploy")).unwrap();
    assert_eq!(role.max_session, 7200);
    assert_eq!(before.instances.get("orders").unwrap().resource_id.as_str(), "db-ORDERS");
    assert!(
        before.instances.get("billing").unwrap().resource_id.as_str().starts_with("db-"),
        "one was made"
    );
    assert_eq!(before.accounts.get("123456789012").unwrap().service_control.len(), 2);
}

#[test]
fn fields_missing_in_a_file_keep_their_values() {
    let (_directory, store) = store();
    apply(&store, FILE);
    let before = store.state().unwrap();
    let id = before.users.get(&account_key("123456789012", "jane")).unwrap().unique_id.clone();
    let less = "[[accounts]]\nid = \"123456789012\"\n\
                [[users]]\nname = \"JANE\"\ntags = { more = \"yes\" }\n";

    let summary = apply(&store, less);
    assert_eq!(summary.changes.len(), 1, "{summary:?}");
    assert_eq!(summary.changes[0].name, "arn:aws:iam::123456789012:user/people/jane");
    let after = store.state().unwrap();
    let user = after.users.get(&account_key("123456789012", "jane")).unwrap();
    assert_eq!((&user.unique_id, user.name.as_str(), user.tags.len()), (&id, "jane", 2));
    assert_eq!(user.inline.len(), 1);
    assert_eq!(after.roles.size(), before.roles.size());
}

#[test]
fn a_dry_run_has_the_same_summary_and_writes_nothing() {
    let (_directory, store) = store();
    let before = store.state().unwrap();
    let dry = import(&store, FILE, ImportMode::DryRun, now()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &store.state().unwrap()));
    // A dry run shows another key id each time.
    let shown = |summary: &ImportSummary| {
        summary
            .changes
            .iter()
            .filter(|change| change.kind != "access-key")
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&dry), shown(&apply(&store, FILE)));
}

#[test]
fn another_document_becomes_a_new_version_and_at_most_five_are_kept() {
    let (_directory, store) = store();
    let file = |action: &str| {
        format!(
            "[[accounts]]\nid = \"123456789012\"\n\
             [[policies]]\nname = \"p\"\n[policies.document]\nVersion = \"2012-10-17\"\n\
             Statement = {{ Effect = \"Allow\", Action = \"{action}\", Resource = \"*\" }}\n"
        )
    };
    for action in ["s3:A", "s3:B", "s3:C", "s3:D", "s3:E", "s3:F", "s3:F"] {
        apply(&store, &file(action));
    }
    let state = store.state().unwrap();
    let policy = state.policies.get(&account_key("123456789012", "p")).unwrap();
    assert_eq!(policy.versions.keys().copied().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert_eq!((policy.default_version, policy.next_version), (6, 7));
    assert!(policy.document().unwrap().contains("s3:F"));
}

#[test]
fn json_with_the_same_fields_is_the_same_file() {
    let (_directory, of_toml) = store();
    let (_other_directory, of_json) = store();
    apply(&of_toml, FILE);
    let value: serde_json::Value = toml::from_str(FILE).unwrap();
    apply(&of_json, &serde_json::to_string_pretty(&value).unwrap());
    let names = |store: &Store| {
        store
            .state()
            .unwrap()
            .users
            .values()
            .map(|user| (user.name.clone(), user.tags.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&of_toml), names(&of_json));
    assert_eq!(apply(&of_toml, FILE).changes, []);
}
