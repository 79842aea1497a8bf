//! Logins by IAM, next to logins by password on the same server: TLS with the name verified, up to the first prompt.

mod mysql;
mod postgres;
mod tls;

use std::time::{Duration, SystemTime};

use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;
use tokio::runtime::Runtime;

use crate::paired::{Side, compare};
use crate::stack::{self, Asks, Stack};
use crate::table::{Goal, Row};
use crate::{Problem, process};

pub(crate) use tls::VerifyFull;

/// How many logins of each kind.
const ROUNDS: usize = 300;

/// What the server is given to be done with the last login, so that it doesn't slow the next.
const PAUSE: Duration = Duration::from_millis(4);

/// What is measured: the row's name, the server, and the goal.
const CASES: [(&str, Asks, Goal); 4] = [
    ("PostgreSQL: PAM login : scram login", Asks::Pam, Goal::AtMost(1.3)),
    ("PostgreSQL: LDAP login : scram login", Asks::Ldap, Goal::None),
    ("MariaDB: IAM login : mysql_native_password login", Asks::Mariadb, Goal::AtMost(1.3)),
    ("MySQL: IAM login : caching_sha2_password login", Asks::Mysql, Goal::AtMost(1.3)),
];

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let program = process::countersign()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let row = |(what, asks, goal)| match Stack::up(&program, asks) {
        Ok(stack) => measured(what, &runtime, &stack, goal),
        Err(problem) => Ok(Row::skipped(what, problem.to_string())),
    };
    CASES.into_iter().map(row).collect()
}

fn measured(what: &str, runtime: &Runtime, stack: &Stack, goal: Goal) -> Result<Row, Problem> {
    let keys = KeyCache::default();
    let login = |user: &str, password: &str| -> Result<Duration, Problem> {
        std::thread::sleep(PAUSE);
        runtime.block_on(async {
            match stack.asks {
                Asks::Pam | Asks::Ldap => postgres::login(stack, user, password).await,
                Asks::Mariadb | Asks::Mysql => mysql::login(stack, user, password).await,
            }
        })
    };
    let by_token = || {
        let token =
            mint(&stack.credentials, &stack.endpoint, &stack.user, &keys, SystemTime::now());
        login(stack.user.as_str(), token.expose())
    };
    let by_password = || login(stack::PASSWORD_USER, stack::PASSWORD);
    let [iam, password] = compare(ROUNDS, [Side::timed(by_token), Side::timed(by_password)])?;
    Ok(Row::ratio(what, &iam, &password, goal))
}
