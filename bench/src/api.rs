//! Requests to the authority's AWS API and to moto's, the other public implementation.

mod client;
mod moto;

use std::thread;
use std::time::{Duration, Instant};

use countersign_core::credentials::{Credentials, Secret};

use crate::paired::{Side, compare};
use crate::stack::{AuthBackend, Stack};
use crate::table::{Goal, Row};
use crate::token::{KEY_ID, SECRET};
use crate::{Problem, process};

use client::{Api, Connection};
use moto::Moto;

/// Number of rounds.
const ROUNDS: usize = 40;

/// Number of concurrent clients, each with a keep-alive connection.
const CLIENTS: usize = 4;

/// Requests of each client per turn: to the authority and to moto. The turns take about the same
/// time.
const REQUESTS: [u32; 2] = [100, 3];

const GOAL: Goal = Goal::AtLeast(20.0);

/// Number of described instances.
const INSTANCES: usize = 10;

/// Maximum time until all instances are available.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(180);

/// Role with all permissions.
const ADMINISTRATOR: &str = "app-admin";

/// Action in AWS's query protocol.
#[derive(Debug, Clone, Copy)]
struct Action {
    service: &'static str,
    body: &'static str,
    /// Text that the response must contain, and how often, so that errors are not measured.
    expected: (&'static str, usize),
}

const IDENTITY: Action = Action {
    service: "sts",
    body: "Action=GetCallerIdentity&Version=2011-06-15",
    expected: ("<Arn>arn:aws:", 1),
};
const INSTANCE_LIST: Action = Action {
    service: "rds",
    body: "Action=DescribeDBInstances&Version=2014-10-31",
    expected: ("<DbiResourceId>", INSTANCES),
};

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let identity = "STS GetCallerIdentity: moto : the authority";
    let list = "RDS DescribeDBInstances, ten: moto : the authority";
    let Some(moto) = Moto::start()? else {
        let why = "moto_server not found: `cargo xtask test interop moto` installs it";
        return Ok(vec![Row::skipped(identity, why), Row::skipped(list, why)]);
    };
    let stack = Stack::up(&process::countersign()?, AuthBackend::Ldap)?;
    let region = stack.endpoint.region.as_str();
    let ours = Api { url: &stack.api, region, credentials: stack.credentials.clone() };
    let theirs = Api { url: &moto.url, region, credentials: any_credentials()? };
    let mut rows = vec![measure(identity, IDENTITY, &ours, &theirs)?];
    let listed = || -> Result<Row, Problem> {
        let ours = Api { credentials: stack.role(ADMINISTRATOR)?, ..ours };
        // The authority has one instance already.
        create(&ours, INSTANCES - 1)?;
        create(&theirs, INSTANCES)?;
        measure(list, INSTANCE_LIST, &ours, &theirs)
    };
    rows.push(listed().unwrap_or_else(|problem| Row::skipped(list, problem.to_string())));
    Ok(rows)
}

fn measure(what: &str, action: Action, ours: &Api<'_>, theirs: &Api<'_>) -> Result<Row, Problem> {
    let [our_requests, their_requests] = REQUESTS;
    let [ours, theirs] = compare(
        ROUNDS,
        [
            requests_by_all(ours, action, our_requests),
            requests_by_all(theirs, action, their_requests),
        ],
    )?;
    let what = format!("{what}, {CLIENTS} clients");
    Ok(Row::ratio(what, &theirs, &ours, GOAL))
}

/// Measures the time per request with concurrent clients.
fn requests_by_all<'a>(api: &'a Api<'a>, action: Action, requests: u32) -> Side<'a> {
    let mut connections: Vec<Connection<'a>> = (0..CLIENTS).map(|_| Connection::to(api)).collect();
    Side::timed(move || {
        let start = Instant::now();
        thread::scope(|scope| {
            let spawn = |connection| scope.spawn(move || send(connection, action, requests));
            let clients: Vec<_> = connections.iter_mut().map(spawn).collect();
            clients.into_iter().try_for_each(|client| {
                client.join().unwrap_or_else(|_| Err("a client panicked".into()))
            })
        })?;
        let count = requests * u32::try_from(CLIENTS)?;
        Ok(start.elapsed() / count)
    })
}

fn send(connection: &mut Connection<'_>, action: Action, requests: u32) -> Result<(), Problem> {
    let (mark, count) = action.expected;
    let request = connection.api().signed(action.service, action.body)?;
    for _ in 0..requests {
        let response = connection.send(&request)?;
        if response.matches(mark).count() != count {
            return Err(format!("{} returned {response:?}", action.body).into());
        }
    }
    Ok(())
}

/// Creates `count` instances, and waits until [`INSTANCES`] are available.
fn create(api: &Api<'_>, count: usize) -> Result<(), Problem> {
    let mut connection = Connection::to(api);
    for number in 0..count {
        let body = format!(
            "Action=CreateDBInstance&Version=2014-10-31&DBInstanceIdentifier=bench-{number}\
             &Engine=postgres&DBInstanceClass=db.t4g.micro&AllocatedStorage=20\
             &MasterUsername=master&MasterUserPassword=eleven-and-a-half\
             &EnableIAMDatabaseAuthentication=true"
        );
        let response = connection.send(&api.signed("rds", &body)?)?;
        if !response.contains("<DbiResourceId>") {
            return Err(format!("CreateDBInstance returned {response:?}").into());
        }
    }
    let deadline = Instant::now() + AVAILABLE_TIMEOUT;
    loop {
        let response = connection.send(&api.signed("rds", INSTANCE_LIST.body)?)?;
        if response.matches("<DBInstanceStatus>available<").count() == INSTANCES {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{INSTANCES} instances are not available after {} s",
                AVAILABLE_TIMEOUT.as_secs()
            )
            .into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Returns example credentials: moto accepts any.
fn any_credentials() -> Result<Credentials, Problem> {
    Ok(Credentials {
        access_key_id: KEY_ID.parse()?,
        secret: Secret::new(SECRET).ok_or("the secret is empty")?,
        session_token: None,
        expires: None,
    })
}
