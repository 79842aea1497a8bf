use std::time::SystemTime;

use countersign_authority::issuer::DEFAULT_URL;
use countersign_authority::model::Role;
use countersign_authority::store::{Store, account_key};

use super::{DEFAULT, TemplateVars, apply};

const ACCOUNT: &str = "123456789012";

fn vars<'a>(
    account: &'a countersign_core::name::AccountId,
    region: &'a countersign_core::region::Region,
) -> TemplateVars<'a> {
    TemplateVars { account, region, issuer: DEFAULT_URL }
}

#[test]
fn built_in_seed_is_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (account, region) = (ACCOUNT.parse().unwrap(), "us-east-1".parse().unwrap());

    let outcome = apply(&store, None, &vars(&account, &region), SystemTime::now()).unwrap();
    assert_eq!(outcome.keys.len(), 1, "admin's");
    let state = store.state().unwrap();
    let names: Vec<&str> = state.roles.values().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["app-admin", "app-pod"]);
    assert!(state.providers.contains_key(&account_key(ACCOUNT, "oidc.countersign.internal")));
    let trust = state.roles.get(&account_key(ACCOUNT, "app-pod")).unwrap().trust.clone().unwrap();
    assert!(
        trust.contains("\"oidc.countersign.internal:sub\": \"system:serviceaccount:default:app\""),
        "{trust}"
    );
    assert!(state.service_accounts.contains_key("default/app"));

    // What the operator deleted does not come back.
    let removed = store.change(|draft| {
        Ok::<_, countersign_authority::store::StoreError>(
            draft.remove::<Role>(&account_key(ACCOUNT, "app-admin")),
        )
    });
    assert!(removed.unwrap());
    let again = apply(&store, None, &vars(&account, &region), SystemTime::now()).unwrap();
    assert!(again.changes.is_empty());
    assert!(!store.state().unwrap().roles.contains_key(&account_key(ACCOUNT, "app-admin")));
}

#[test]
fn custom_seed_is_applied_at_each_start_and_errors_have_locations() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (account, region) = (ACCOUNT.parse().unwrap(), "cn-north-1".parse().unwrap());
    let own = "accounts = [{ id = \"{account}\", partition = \"{partition}\" }]\n[[users]]\nname \
     = \"jane\"\n";

    apply(&store, Some(own), &vars(&account, &region), SystemTime::now()).unwrap();
    let more = format!("{own}groups = [\"none\"]\n");
    let error = apply(&store, Some(&more), &vars(&account, &region), SystemTime::now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("users[0].groups[0] (line 4, column 11): group \"none\" not found"),
        "{error}"
    );
    let other = own.replace("jane", "john");
    apply(&store, Some(&other), &vars(&account, &region), SystemTime::now()).unwrap();
    assert_eq!(store.state().unwrap().users.size(), 2);
}

#[test]
fn built_in_seed_uses_only_known_placeholders() {
    let (account, region) = (ACCOUNT.parse().unwrap(), "us-east-1".parse().unwrap());
    let filled = vars(&account, &region).render(DEFAULT);
    assert!(
        !filled.contains("{account}")
            && !filled.contains("{partition}")
            && !filled.contains("{issuer"),
        "{filled}"
    );
}
