//! Variables and files of each credentials source.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::SystemTime;

use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::store::{NewIdentity, Store, StoreError};
use countersign_aws_api::server::state_directory;
use countersign_core::region::Partition;
use tempfile::TempDir;

use super::{Account, START_URL, START_URL_HASH, Source, Sources};
use crate::state::{Phase, State};
use crate::{Layout, LocalError};

const APP: Account<'_> = Account { namespace: "default", name: "app" };

struct Stack {
    directory: TempDir,
    layout: Layout,
    state: State,
    store: Store,
}

impl Stack {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path()).unwrap();
        let store = Store::open(&state_directory(&layout.authority())).unwrap();
        let account = "123456789012".parse().unwrap();
        store.ensure_account(&account, Partition::Aws).unwrap();
        let state = State {
            pid: 1,
            phase: Phase::Ready,
            dir: layout.root().to_owned(),
            account: account.clone(),
            region: "eu-central-1".parse().unwrap(),
            socket: layout.socket(),
            ldap: None,
            aws_endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
            metadata_endpoint: None,
            issuer: countersign_authority::issuer::DEFAULT_URL.to_owned(),
            ca: layout.ca(),
            audit_log: layout.authority(),
            instances: Vec::new(),
            skipped: Vec::new(),
            allowed_users: Vec::new(),
        };
        for name in ["app-pod", "reporting"] {
            let identity = Identity::new(account.clone(), IdentityKind::Role, name).unwrap();
            store
                .create_identity(
                    &NewIdentity { identity: &identity, trust: None, policy: None },
                    SystemTime::now(),
                )
                .unwrap();
        }
        Self { directory, layout, state, store }
    }

    fn variables(
        &self,
        source: Source<'_>,
        role: Option<&str>,
    ) -> Result<BTreeMap<&'static str, String>, LocalError> {
        let variables =
            Sources::new(&self.layout, &self.state, &self.store).variables(source, role)?;
        Ok(variables.into_iter().map(|(name, value)| (name, value.to_string())).collect())
    }
}

#[test]
fn each_source_sets_its_own_variables() {
    let stack = Stack::new();
    let root = stack.directory.path().display().to_string();
    let irsa = stack.variables(Source::Irsa(APP), None).unwrap();
    assert_eq!(irsa["AWS_ROLE_ARN"], "arn:aws:iam::123456789012:role/app-pod");
    assert_eq!(irsa["AWS_ROLE_SESSION_NAME"], "app-0");
    assert_eq!(
        irsa["AWS_WEB_IDENTITY_TOKEN_FILE"],
        format!("{root}/identity/serviceaccounts/default/app/sts.amazonaws.com/token")
    );
    assert_eq!(
        std::fs::read(&irsa["AWS_CONFIG_FILE"]).unwrap(),
        b"",
        "the user's own configuration is not read"
    );

    let pod = stack.variables(Source::PodIdentity(APP), Some("reporting")).unwrap();
    assert_eq!(pod["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "http://127.0.0.1:4566/v1/credentials");
    assert!(std::fs::read_to_string(&pod["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).is_ok());
    stack.variables(Source::PodIdentity(APP), None).unwrap();
    let associated = stack
        .store
        .state()
        .unwrap()
        .service_accounts
        .get("default/app")
        .unwrap()
        .pod_identity_role
        .clone();
    assert_eq!(
        associated.as_deref(),
        Some("arn:aws:iam::123456789012:role/reporting"),
        "what is associated stays"
    );

    let ecs = stack.variables(Source::Ecs, None).unwrap();
    assert!(
        ecs["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
            .starts_with("http://127.0.0.1:4566/v2/credentials/")
    );
    assert_eq!(ecs["AWS_CONTAINER_AUTHORIZATION_TOKEN"].len(), 43);
    assert_eq!(stack.variables(Source::Ecs, None).unwrap(), ecs);
}

#[test]
fn sign_in_is_written_where_the_sdks_read_it() {
    let hashed = Command::new("sh")
        .arg("-c")
        .arg(format!("printf %s {START_URL} | sha1sum"))
        .output()
        .unwrap();
    assert!(String::from_utf8(hashed.stdout).unwrap().starts_with(START_URL_HASH));
    let stack = Stack::new();
    let sso = stack.variables(Source::Sso { user: "jane" }, None).unwrap();
    assert_eq!(sso["AWS_PROFILE"], "app-pod");
    let cache = format!("{}/.aws/sso/cache/{START_URL_HASH}.json", sso["HOME"]);
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o600);
    let token = || {
        let text = std::fs::read(&cache).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        value["accessToken"].clone()
    };
    let first = token();
    stack.variables(Source::Sso { user: "jane" }, Some("reporting")).unwrap();
    assert_eq!(token(), first, "one sign-in for all profiles");
    let config = std::fs::read_to_string(&sso["AWS_CONFIG_FILE"]).unwrap();
    assert!(
        config.contains("[profile app-pod]\n") && config.contains("[profile reporting]\n"),
        "{config}"
    );
    stack.variables(Source::Sso { user: "john" }, None).unwrap();
    assert_ne!(token(), first);
}

#[test]
fn missing_sources_are_reported() {
    let stack = Stack::new();
    for source in
        [Source::Irsa(APP), Source::PodIdentity(APP), Source::Ecs, Source::Sso { user: "jane" }]
    {
        let refused = stack.variables(source, Some("gone")).unwrap_err();
        let LocalError::Store(StoreError::NotFound(what)) = &refused else { panic!("{refused}") };
        assert!(what.contains("--role"), "{refused}");
    }
    let imds = |role| stack.variables(Source::Imds, role).unwrap_err().to_string();
    assert!(
        imds(None).contains("--instance-profile") && imds(Some("app-pod")).contains("omit --role")
    );
    for (namespace, name) in [
        ("..", "app"),
        ("default", ".."),
        ("a/b", "c"),
        ("", "app"),
        ("default", "App"),
        ("a.b", "c"),
        ("a", "-b"),
    ] {
        let account = Account { namespace, name };
        assert!(
            matches!(
                stack.variables(Source::Irsa(account), None),
                Err(LocalError::Store(StoreError::InvalidName(_)))
            ),
            "{namespace}/{name}"
        );
    }
}
