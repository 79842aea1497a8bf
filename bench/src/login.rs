//! IAM logins compared with password logins on the same server: TLS with verified host name, up to
//! readiness.

mod mysql;
mod postgres;
mod tls;

use std::time::{Duration, SystemTime};

use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;
use tokio::runtime::Runtime;

use crate::paired::{Side, compare};
use crate::stack::{self, AuthBackend, Stack};
use crate::table::{Goal, Row};
use crate::{Problem, process};

pub(crate) use tls::VerifyFull;

/// Number of logins of each kind.
const ROUNDS: usize = 300;

/// Pause after a login, in which the server finishes its session.
const PAUSE: Duration = Duration::from_millis(4);

/// Name of the row, server, and goal.
const CASES: [(&str, AuthBackend, Goal); 4] = [
    ("PostgreSQL: PAM login : scram login", AuthBackend::Pam, Goal::AtMost(1.3)),
    ("PostgreSQL: LDAP login : scram login", AuthBackend::Ldap, Goal::None),
    ("MariaDB: IAM login : mysql_native_password login", AuthBackend::Mariadb, Goal::AtMost(1.3)),
    ("MySQL: IAM login : caching_sha2_password login", AuthBackend::Mysql, Goal::AtMost(1.3)),
];

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let program = process::countersign()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let row = |(what, backend, goal)| match Stack::up(&program, backend) {
        Ok(stack) => measure(what, &runtime, &stack, goal),
        Err(problem) => Ok(Row::skipped(what, problem.to_string())),
    };
    CASES.into_iter().map(row).collect()
}

fn measure(what: &str, runtime: &Runtime, stack: &Stack, goal: Goal) -> Result<Row, Problem> {
    let keys = KeyCache::default();
    let login = |user: &str, password: &str| -> Result<Duration, Problem> {
        std::thread::sleep(PAUSE);
        runtime.block_on(async {
            match stack.backend {
                AuthBackend::Pam | AuthBackend::Ldap => {
                    postgres::login(stack, user, password).await
                }
                AuthBackend::Mariadb | AuthBackend::Mysql => {
                    mysql::login(stack, user, password).await
                }
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
