//! Logins by IAM, next to logins by password on the same server: TLS with the name verified, up to the first prompt.

mod stack;
mod tls;

use std::time::{Duration, SystemTime};

use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;
use tokio::runtime::Runtime;
use tokio_postgres::Config;

use crate::paired::{Side, compare};
use crate::table::{Goal, Row};
use crate::{Problem, process};

use stack::Stack;

/// How many logins of each kind.
const ROUNDS: usize = 300;

/// What the server's process for the last login is given to be gone, so that it doesn't slow the next.
const PAUSE: Duration = Duration::from_millis(4);

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let program = process::countersign()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = vec![match Stack::up(&program, "pam") {
        Ok(stack) => row("PAM login : scram login", &runtime, &stack, Goal::AtMost(1.3))?,
        Err(problem) => Row::skipped("PAM login : scram login", problem.to_string()),
    }];
    rows.push(row("LDAP login : scram login", &runtime, &Stack::up(&program, "ldap")?, Goal::None)?);
    Ok(rows)
}

fn row(what: &str, runtime: &Runtime, stack: &Stack, goal: Goal) -> Result<Row, Problem> {
    let keys = KeyCache::default();
    let by_token = || {
        let token = mint(&stack.credentials, &stack.endpoint, &stack.user, &keys, SystemTime::now());
        stack.as_user(stack.user.as_str(), token.expose())
    };
    let by_password = || stack.as_user(stack::SCRAM_USER, stack::SCRAM_PASSWORD);
    let [iam, scram] = compare(ROUNDS, [side(runtime, stack, by_token), side(runtime, stack, by_password)])?;
    Ok(Row::ratio(what, &iam, &scram, goal))
}

/// A login, timed from the connection to the server's word that it is ready.
fn side<'a>(runtime: &'a Runtime, stack: &'a Stack, login: impl Fn() -> Config + 'a) -> Side<'a> {
    Side::timed(move || {
        std::thread::sleep(PAUSE);
        runtime.block_on(async {
            let start = std::time::Instant::now();
            let (client, connection) = login().connect(stack.tls.clone()).await?;
            let took = start.elapsed();
            drop(client);
            connection.await?;
            Ok(took)
        })
    })
}
