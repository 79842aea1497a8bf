//! Requests to AWS's API, answered by the authority and by moto, the one other public implementation of it.

mod client;
mod moto;

use std::thread;
use std::time::{Duration, Instant};

use countersign_core::credentials::{Credentials, Secret};

use crate::paired::{Side, compare};
use crate::stack::{Asks, Stack};
use crate::table::{Goal, Row};
use crate::token::{KEY_ID, SECRET};
use crate::{Problem, process};

use client::{Api, Connection};
use moto::Moto;

/// How many turns each has.
const ROUNDS: usize = 40;

/// How many clients ask at once, each on a connection that it keeps for as long as the server does.
const CLIENTS: usize = 4;

/// How many requests each client has in a turn: so many that a turn of either takes about as long.
const REQUESTS: [u32; 2] = [100, 3];

const GOAL: Goal = Goal::AtLeast(20.0);

/// The instances that are described.
const INSTANCES: usize = 10;

/// How long they may take until they are all available.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who may do everything there is to do.
const ADMINISTRATOR: &str = "app-admin";

/// An action, in AWS's query protocol.
#[derive(Debug, Clone, Copy)]
struct Action {
    service: &'static str,
    body: &'static str,
    /// What the answer must hold, and how often: nobody is quick by answering something else.
    holds: (&'static str, usize),
}

const IDENTITY: Action = Action {
    service: "sts",
    body: "Action=GetCallerIdentity&Version=2011-06-15",
    holds: ("<Arn>arn:aws:", 1),
};
const INSTANCE_LIST: Action = Action {
    service: "rds",
    body: "Action=DescribeDBInstances&Version=2014-10-31",
    holds: ("<DbiResourceId>", INSTANCES),
};

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let identity = "STS GetCallerIdentity: moto : the authority";
    let list = "RDS DescribeDBInstances, ten: moto : the authority";
    let Some(moto) = Moto::start()? else {
        let why = "there is no moto_server: `cargo xtask test interop moto` installs it";
        return Ok(vec![Row::skipped(identity, why), Row::skipped(list, why)]);
    };
    let stack = Stack::up(&process::countersign()?, Asks::Ldap)?;
    let region = stack.endpoint.region.as_str();
    let ours = Api { url: &stack.api, region, credentials: stack.credentials.clone() };
    let theirs = Api { url: &moto.url, region, credentials: anybody()? };
    let mut rows = vec![measured(identity, IDENTITY, &ours, &theirs)?];
    let listed = || -> Result<Row, Problem> {
        let ours = Api { credentials: stack.role(ADMINISTRATOR)?, ..ours };
        // The authority has one from the start.
        create(&ours, INSTANCES - 1)?;
        create(&theirs, INSTANCES)?;
        measured(list, INSTANCE_LIST, &ours, &theirs)
    };
    rows.push(listed().unwrap_or_else(|problem| Row::skipped(list, problem.to_string())));
    Ok(rows)
}

fn measured(what: &str, action: Action, ours: &Api<'_>, theirs: &Api<'_>) -> Result<Row, Problem> {
    let [our_requests, their_requests] = REQUESTS;
    let [ours, theirs] = compare(
        ROUNDS,
        [asked(ours, action, our_requests), asked(theirs, action, their_requests)],
    )?;
    let what = format!("{what}, {CLIENTS} clients");
    Ok(Row::ratio(what, &theirs, &ours, GOAL))
}

/// What a request takes where all clients ask at once.
fn asked<'a>(api: &'a Api<'a>, action: Action, requests: u32) -> Side<'a> {
    let mut connections: Vec<Connection<'a>> = (0..CLIENTS).map(|_| Connection::to(api)).collect();
    Side::timed(move || {
        let start = Instant::now();
        thread::scope(|scope| {
            let ask = |connection| scope.spawn(move || ask(connection, action, requests));
            let clients: Vec<_> = connections.iter_mut().map(ask).collect();
            clients.into_iter().try_for_each(|client| {
                client.join().unwrap_or_else(|_| Err("a client panicked".into()))
            })
        })?;
        let count = requests * u32::try_from(CLIENTS)?;
        Ok(start.elapsed() / count)
    })
}

fn ask(connection: &mut Connection<'_>, action: Action, requests: u32) -> Result<(), Problem> {
    let (mark, count) = action.holds;
    let request = connection.api().signed(action.service, action.body)?;
    for _ in 0..requests {
        let answer = connection.ask(&request)?;
        if answer.matches(mark).count() != count {
            return Err(format!("{} answered {answer:?}", action.body).into());
        }
    }
    Ok(())
}

/// Creates so many instances, and waits until all there are are available.
fn create(api: &Api<'_>, count: usize) -> Result<(), Problem> {
    let mut connection = Connection::to(api);
    for number in 0..count {
        let body = format!(
            "Action=CreateDBInstance&Version=2014-10-31&DBInstanceIdentifier=bench-{number}&Engine=postgres\
             &DBInstanceClass=db.t4g.micro&AllocatedStorage=20&MasterUsername=master&MasterUserPassword=eleven-and-a-half\
             &EnableIAMDatabaseAuthentication=true"
        );
        let answer = connection.ask(&api.signed("rds", &body)?)?;
        if !answer.contains("<DbiResourceId>") {
            return Err(format!("CreateDBInstance answered {answer:?}").into());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = connection.ask(&api.signed("rds", INSTANCE_LIST.body)?)?;
        if answer.matches("<DBInstanceStatus>available<").count() == INSTANCES {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{INSTANCES} instances are not available after {} s",
                PATIENCE.as_secs()
            )
            .into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// moto lets everybody in.
fn anybody() -> Result<Credentials, Problem> {
    Ok(Credentials {
        access_key_id: KEY_ID.parse()?,
        secret: Secret::new(SECRET).ok_or("the secret is empty")?,
        session_token: None,
        expires: None,
    })
}
