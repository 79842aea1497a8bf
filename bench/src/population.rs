//! Login decisions and start-up of an authority with 100,000 users, each with a key and a policy,
//! compared with one of ten users.

use std::time::{Instant, SystemTime};

use countersign_authority::log::AccessLog;
use countersign_authority::model::{AccessKey, Address, Instance, User, seconds};
use countersign_authority::store::{Store, StoreError};
use countersign_authority::verifier::{ContextKeys, LoginRequest, Verifier, VerifierConfig};
use countersign_core::credentials::Credentials;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{AccountId, DbUser, Engine};
use countersign_core::region::Partition;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{KeyStatus, mint};
use tempfile::TempDir;

use crate::Problem;
use crate::paired::{ROUNDS, Side, compare};
use crate::table::{Goal, Row};

const FEW: usize = 10;
const MANY: usize = 100_000;

/// Number of users that log in, in turn: at most as many as signing keys are cached.
const ACTIVE: usize = 10;

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let (few, many) = (Population::of(FEW)?, Population::of(MANY)?);
    let [ten, hundred_thousand, small_start, large_start] = compare(
        ROUNDS / 5,
        [few.logins(), many.logins(), Side::timed(|| few.start()), Side::timed(|| many.start())],
    )?;
    Ok(vec![
        Row::ratio(
            "a login's decision among 100,000 users : among ten",
            &hundred_thousand,
            &ten,
            Goal::AtMost(1.5),
        ),
        Row::new(
            "opening the store of 100,000 users",
            large_start.spread(),
            "s",
            Goal::AtMost(2.0),
            "ten: see the next row".to_owned(),
        ),
        Row::ratio(
            "opening the store of 100,000 users : of ten",
            &large_start,
            &small_start,
            Goal::None,
        ),
    ])
}

/// Authority with `size` users.
struct Population {
    directory: TempDir,
    verifier: Verifier,
    instance: Instance,
    logins: Vec<(DbUser, String)>,
}

impl Population {
    fn of(size: usize) -> Result<Self, Problem> {
        let (directory, now) = (TempDir::new()?, SystemTime::now());
        let account: AccountId = "123456789012".parse()?;
        let instance = Instance {
            name: "orders".parse()?,
            account: account.clone(),
            resource_id: "db-ORDERS".parse()?,
            engine: Engine::Postgres,
            region: "us-east-1".parse()?,
            iam_enabled: true,
            addresses: vec![Address { host: "localhost".parse()?, port: 5432, resource_id: None }],
        };
        let store = Store::open(directory.path())?;
        store.ensure_account(&account, Partition::Aws)?;
        store.put_instance(&instance)?;
        let keys = (0..size)
            .map(|number| key(&account, number, now))
            .collect::<Result<Vec<_>, Problem>>()?;
        store.change(|draft| {
            for key in &keys {
                draft.put(user(key))?;
                draft.put(key.clone())?;
            }
            Ok::<_, StoreError>(())
        })?;
        let endpoints = instance.endpoints();
        let endpoint = endpoints.first().ok_or("the instance has no address")?;
        // Evenly distributed over all users.
        let active = keys
            .iter()
            .step_by(size / ACTIVE)
            .map(|key| login(key, endpoint, now))
            .collect::<Result<_, Problem>>()?;
        let log = AccessLog::open(&directory.path().join("log"))?;
        let verifier = Verifier::new(
            store,
            log,
            VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
        );
        Ok(Self { directory, verifier, instance, logins: active })
    }

    fn logins(&self) -> Side<'_> {
        let mut next = 0;
        Side::batch(move |count| {
            for _ in 0..count {
                let (user, token) = self.logins.get(next).ok_or("no user logs in")?;
                next = (next + 1) % self.logins.len();
                let instance = &self.instance.name;
                let login = LoginRequest {
                    engine: Engine::Postgres,
                    instance,
                    user,
                    token,
                    client: None,
                    tls: Some(true),
                };
                self.verifier
                    .decide(&login, SystemTime::now())
                    .map_err(|failure| failure.detail)?;
            }
            Ok(())
        })
    }

    fn start(&self) -> Result<std::time::Duration, Problem> {
        let start = Instant::now();
        let store = Store::open(self.directory.path())?;
        let took = start.elapsed();
        drop(store);
        Ok(took)
    }
}

fn key(account: &AccountId, number: usize, now: SystemTime) -> Result<AccessKey, Problem> {
    Ok(AccessKey {
        id: format!("AKIA{number:016}").parse()?,
        account: account.clone(),
        user: format!("user-{number}"),
        secret: format!("secret-of-forty-characters-{number:013}").into(),
        status: KeyStatus::Active,
        created: seconds(now),
    })
}

fn user(key: &AccessKey) -> User {
    let AccessKey { account, user, id, created, .. } = key;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"rds-db:connect",
            "Resource":"arn:aws:rds-db:us-east-1:{account}:dbuser:db-ORDERS/{user}"}}}}"#
    );
    User {
        account: account.clone(),
        path: "/".to_owned(),
        name: user.clone(),
        unique_id: format!("AIDA{}", id.as_str().trim_start_matches("AKIA")),
        created: *created,
        access_keys: vec![id.clone()],
        groups: Default::default(),
        inline: [("connect".to_owned(), policy)].into(),
        attached: Default::default(),
        boundary: None,
        tags: Default::default(),
    }
}

fn login(
    key: &AccessKey,
    endpoint: &Endpoint,
    now: SystemTime,
) -> Result<(DbUser, String), Problem> {
    let credentials: Credentials = key.credentials().ok_or("the key has no secret")?;
    let user: DbUser = key.user.parse()?;
    let token = mint(&credentials, endpoint, &user, &KeyCache::default(), now);
    Ok((user, token.expose().to_owned()))
}
