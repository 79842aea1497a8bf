//! Each outcome of a login, decided with a real store and written to a real log.

#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use std::fs;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::failure::{AuditOutcome, Class};
use countersign_core::name::{AccountId, DbUser, Engine, InstanceId};
use countersign_core::region::Partition;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{AuthToken, KeyStatus, mint};
use tempfile::TempDir;

use super::{ContextKeys, LoginRequest, Verifier, VerifierConfig};
use crate::log::{AccessLog, DECISIONS, RDS_ERRORS};
use crate::model::{Address, Identity, IdentityKind, Instance};
use crate::store::{ControlKind, NewIdentity, SessionRequest, Store};

const CONFIG: VerifierConfig = VerifierConfig { limit: None, context_keys: ContextKeys::AsRds };

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn account() -> AccountId {
    "123456789012".parse().unwrap()
}

fn jane() -> DbUser {
    "jane".parse().unwrap()
}

fn orders() -> InstanceId {
    "orders".parse().unwrap()
}

fn endpoint() -> Endpoint {
    Endpoint {
        engine: Engine::Postgres,
        host: "localhost".parse().unwrap(),
        port: 5432,
        region: "us-east-1".parse().unwrap(),
    }
}

fn statement(effect: &str, user: &str, more: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"Connect","Effect":"{effect}","Action":"rds-db:connect",
            "Resource":"arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/{user}"{more}}}]}}"#
    )
}

/// An authority with the instance `orders` and the user `jane`, who may log in.
struct Fixture {
    directory: TempDir,
    verifier: Verifier,
    identity: Identity,
    key: Credentials,
}

impl Fixture {
    fn new(config: VerifierConfig) -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.ensure_account(&account(), Partition::Aws).unwrap();
        let instance = Instance {
            name: orders(),
            account: account(),
            resource_id: "db-ABC".parse().unwrap(),
            engine: Engine::Postgres,
            region: endpoint().region,
            iam_enabled: true,
            addresses: vec![Address { host: endpoint().host, port: 5432, resource_id: None }],
        };
        store.put_instance(&instance).unwrap();
        let identity = Identity::new(account(), IdentityKind::User, "jane").unwrap();
        let made = store.create_identity(
            &NewIdentity { identity: &identity, trust: None, policy: None },
            now(),
        );
        store.put_policy(&identity, "connect", &statement("Allow", "jane", "")).unwrap();
        let key = made.unwrap().unwrap();
        let log = AccessLog::open(directory.path()).unwrap();
        Self { directory, verifier: Verifier::new(store, log, config), identity, key }
    }

    fn store(&self) -> &Store {
        self.verifier.store()
    }

    fn put(&self, name: &str, document: &str) {
        self.store().put_policy(&self.identity, name, document).unwrap();
    }

    fn token(&self) -> AuthToken {
        mint(&self.key, &endpoint(), &jane(), &KeyCache::default(), now())
    }

    fn decide(&self, token: &str) -> Result<(), Class> {
        self.login(LoginRequest {
            engine: Engine::Postgres,
            instance: &orders(),
            user: &jane(),
            token,
            client: Some("10.1.2.3"),
            tls: None,
        })
    }

    fn login(&self, login: LoginRequest<'_>) -> Result<(), Class> {
        self.verifier.decide(&login, now()).map(drop).map_err(|failure| failure.class)
    }

    fn records(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.directory.path().join(DECISIONS)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn last(&self) -> serde_json::Value {
        self.records().pop().unwrap()
    }
}

#[test]
fn a_valid_token_with_a_policy_is_allowed_and_the_log_names_the_statement() {
    let fixture = Fixture::new(CONFIG);
    assert_eq!(fixture.decide(fixture.token().expose()), Ok(()));
    let record = fixture.last();
    assert_eq!(record["outcome"], "allowed");
    assert_eq!(record["principal"], "arn:aws:iam::123456789012:user/jane");
    assert_eq!(record["resource"], "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane");
    assert_eq!(record["client"], "10.1.2.3");
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("statement \"Connect\" of identity policy \"connect\""),
        "{record}"
    );
}

#[test]
fn each_denial_is_logged_with_its_class_and_no_secret() {
    let fixture = Fixture::new(CONFIG);
    let good = fixture.token();
    let good = good.expose();
    let unknown = good.replace(fixture.key.access_key_id.as_str(), "AKIAUNKNOWN");
    for (token, class) in [
        ("hunter2", Class::Malformed),
        (unknown.as_str(), Class::UnknownKey),
        (&good.replace("DBUser=jane", "DBUser=john"), Class::WrongUser),
        (&good.replace(":5432", ":5433"), Class::WrongPort),
        (&good.replace("localhost", "elsewhere"), Class::WrongHost),
        (&good[..good.len() - 3], Class::Malformed),
        (&good.replace("Expires=900", "Expires=800"), Class::SignatureMismatch),
    ] {
        assert_eq!(fixture.decide(token), Err(class));
        assert_eq!(fixture.last()["class"], class.to_string());
    }
    fixture.store().set_key_status(&fixture.key.access_key_id, KeyStatus::Inactive).unwrap();
    assert_eq!(fixture.decide(good), Err(Class::InactiveKey));
    let signature = good.rsplit('=').next().unwrap();
    for file in [DECISIONS, RDS_ERRORS] {
        let text = fs::read_to_string(fixture.directory.path().join(file)).unwrap();
        assert_eq!(text.lines().count(), 8, "{file}");
        for secret in [signature, "hunter2", fixture.key.secret.expose()] {
            assert!(!text.contains(secret), "{file} shows a secret");
        }
    }
}

#[test]
fn policies_decide_and_denials_state_the_reason() {
    let fixture = Fixture::new(CONFIG);
    let token = fixture.token();
    fixture.put("connect", &statement("Allow", "john", ""));
    assert_eq!(fixture.decide(token.expose()), Err(Class::NotAllowed));
    let reason = fixture.last()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("\"Connect\"") && reason.contains("db-ABC/john"), "{reason}");

    fixture.put("connect", &statement("Allow", "jane", ""));
    fixture.put(
        "night",
        &statement(
            "Deny",
            "*",
            r#","Condition":{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}"#,
        ),
    );
    assert_eq!(fixture.decide(token.expose()), Err(Class::ExplicitlyDenied));
    fixture.put(
        "night",
        &statement(
            "Deny",
            "*",
            r#","Condition":{"DateLessThan":{"aws:CurrentTime":"2001-01-01T00:00:00Z"}}"#,
        ),
    );
    assert_eq!(fixture.decide(token.expose()), Ok(()));

    fixture
        .store()
        .put_control_policy(
            &account(),
            ControlKind::Service,
            0,
            "root",
            &statement("Allow", "john", ""),
        )
        .unwrap();
    assert_eq!(fixture.decide(token.expose()), Err(Class::NotAllowed));
    assert!(fixture.last()["reason"].as_str().unwrap().contains("service control"));
}

#[test]
fn a_policy_that_became_invalid_in_the_database_denies() {
    let fixture = Fixture::new(CONFIG);
    let file = rusqlite::Connection::open(fixture.directory.path().join("authority.db")).unwrap();
    // Written as by another process, with a new revision.
    let invalid = "json_set(body, '$.inline.connect', '{\"Statement\":[]}')";
    file.execute(
        &format!("UPDATE record SET revision = revision + 9, body = {invalid} WHERE kind = 'user'"),
        [],
    )
    .unwrap();
    assert_eq!(fixture.decide(fixture.token().expose()), Err(Class::PolicyUnusable));
}

#[test]
fn source_ip_is_a_condition_key_only_if_configured() {
    let from_here =
        statement("Allow", "jane", r#","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#);
    for (context_keys, expected) in
        [(ContextKeys::AsRds, Err(Class::NotAllowed)), (ContextKeys::WithSourceIp, Ok(()))]
    {
        let fixture = Fixture::new(VerifierConfig { context_keys, ..CONFIG });
        fixture.put("connect", &from_here);
        assert_eq!(fixture.decide(fixture.token().expose()), expected, "{context_keys:?}");
    }
}

#[test]
fn sessions_need_their_token_an_unexpired_time_and_a_policy() {
    let fixture = Fixture::new(CONFIG);
    let request = SessionRequest {
        identity: &fixture.identity,
        name: None,
        duration: Duration::from_secs(3600),
        policy: None,
    };
    let session = fixture.store().create_session(&request, now()).unwrap();
    let with = |key: &Credentials| mint(key, &endpoint(), &jane(), &KeyCache::default(), now());
    assert_eq!(fixture.decide(with(&session).expose()), Ok(()));
    assert_eq!(
        fixture.decide(with(&Credentials { session_token: None, ..session.clone() }).expose()),
        Err(Class::SessionTokenMissing)
    );
    assert_eq!(
        fixture.decide(with(&Credentials { session_token: Secret::new("x"), ..session }).expose()),
        Err(Class::SessionTokenWrong)
    );
    let ended = SessionRequest { duration: Duration::ZERO, ..request };
    let ended = fixture.store().create_session(&ended, now()).unwrap();
    assert_eq!(fixture.decide(with(&ended).expose()), Err(Class::SessionExpired));
    let policy = statement("Allow", "john", "");
    let limited = fixture
        .store()
        .create_session(&SessionRequest { policy: Some(&policy), ..request }, now())
        .unwrap();
    assert_eq!(fixture.decide(with(&limited).expose()), Err(Class::NotAllowed));
}

#[test]
fn logins_need_a_known_instance_with_iam_enabled_and_tls() {
    let fixture = Fixture::new(CONFIG);
    let token = fixture.token();
    let login = LoginRequest {
        engine: Engine::Postgres,
        instance: &orders(),
        user: &jane(),
        token: token.expose(),
        client: None,
        tls: Some(true),
    };
    let billing = "billing".parse().unwrap();
    assert_eq!(fixture.login(login), Ok(()));
    assert_eq!(
        fixture.login(LoginRequest { instance: &billing, ..login }),
        Err(Class::UnknownInstance)
    );
    assert_eq!(
        fixture.login(LoginRequest { engine: Engine::Mysql, ..login }),
        Err(Class::UnknownInstance)
    );
    assert_eq!(fixture.login(LoginRequest { tls: Some(false), ..login }), Err(Class::NoTls));
    let instance = Instance {
        iam_enabled: false,
        ..Instance::clone(&fixture.store().instance(&orders()).unwrap().unwrap())
    };
    fixture.store().put_instance(&instance).unwrap();
    assert_eq!(fixture.login(login), Err(Class::IamDisabled));
}

#[test]
fn logins_beyond_the_limit_are_throttled() {
    let fixture = Fixture::new(VerifierConfig { limit: NonZeroU32::new(2), ..CONFIG });
    let token = fixture.token();
    assert_eq!([fixture.decide(token.expose()), fixture.decide(token.expose())], [Ok(()), Ok(())]);
    assert_eq!(fixture.decide(token.expose()), Err(Class::Throttled));
}

#[test]
fn a_login_that_cannot_be_logged_is_denied() {
    let fixture = Fixture::new(CONFIG);
    // A log on a full device: each write fails.
    let full = TempDir::new().unwrap();
    for file in [DECISIONS, RDS_ERRORS] {
        std::os::unix::fs::symlink("/dev/full", full.path().join(file)).unwrap();
    }
    let store = Store::open(fixture.directory.path()).unwrap();
    let verifier = Verifier::new(store, AccessLog::open(full.path()).unwrap(), CONFIG);
    let token = fixture.token();
    let login = LoginRequest {
        engine: Engine::Postgres,
        instance: &orders(),
        user: &jane(),
        token: token.expose(),
        client: None,
        tls: None,
    };
    assert_eq!(verifier.decide(&login, now()).unwrap_err().class, Class::Internal);
}

#[test]
fn an_abandoned_decision_is_logged_as_an_error() {
    let fixture = Fixture::new(CONFIG);
    let token = fixture.token();
    let login = LoginRequest {
        engine: Engine::Postgres,
        instance: &orders(),
        user: &jane(),
        token: token.expose(),
        client: None,
        tls: None,
    };
    drop(super::PendingRecord::new(&fixture.verifier.log, super::audit_record(&login, now())));
    assert_eq!(fixture.last()["outcome"], serde_json::to_value(AuditOutcome::Error).unwrap());
}

#[test]
fn groups_managed_policies_and_boundaries_apply() {
    use crate::model::{Group, User};

    let fixture = Fixture::new(CONFIG);
    let token = fixture.token();
    assert!(fixture.store().delete_policy(&fixture.identity, "connect").unwrap());
    assert_eq!(fixture.decide(token.expose()), Err(Class::NotAllowed));
    let edit = |edit: fn(&mut User)| {
        let jane = |draft: &mut crate::store::Draft| {
            let mut jane = User::clone(draft.users.get("123456789012/jane").unwrap());
            edit(&mut jane);
            draft.put(jane)
        };
        fixture.store().change(jane).unwrap();
    };
    edit(|jane| assert!(jane.groups.insert("people".to_owned())));
    assert_eq!(fixture.decide(token.expose()), Err(Class::PolicyUnusable), "a missing group");
    let group = Group {
        account: account(),
        path: "/".to_owned(),
        name: "people".to_owned(),
        unique_id: "AGPAPEOPLE".to_owned(),
        created: 0,
        inline: [("connect".to_owned(), statement("Allow", "jane", ""))].into(),
        attached: Default::default(),
    };
    fixture.store().change(|draft| draft.put(group.clone())).unwrap();
    assert_eq!(fixture.decide(token.expose()), Ok(()));
    edit(|jane| jane.boundary = Some("arn:aws:iam::aws:policy/IAMFullAccess".to_owned()));
    assert_eq!(fixture.decide(token.expose()), Err(Class::NotAllowed), "outside the boundary");
    edit(|jane| jane.boundary = Some("arn:aws:iam::aws:policy/AdministratorAccess".to_owned()));
    assert_eq!(fixture.decide(token.expose()), Ok(()));
    edit(|jane| assert!(jane.attached.insert("arn:aws:iam::123456789012:policy/gone".to_owned())));
    assert_eq!(fixture.decide(token.expose()), Err(Class::PolicyUnusable), "a missing policy");
}
