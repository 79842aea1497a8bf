//! Unmodified AWS clients against the authority's API, from an identity to a login, with
//! credentials from every source. `cargo xtask test interop` installs them and runs this program.

mod client;
mod stack;
mod table;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use client::{CLIENTS, Client, Kit, Place};
use stack::Stack;
use table::{Row, Table};
use trial::COLUMNS;

const USAGE: &str = "\
Usage: aws --tools DIR [--without KIT=REASON …] [CLIENT …]

Exits with 0 if no cell of the table failed.";

const LEGEND: &str = "\
ok: passed · ✗: failed, see below · -: not tried, because an earlier step failed
refused: a deactivated key yields AWS's error in the SDK
IRSA to SSO: identity, token and login with credentials of that source
aws-cli and aws-sdk-rust poll every 30 s, which cannot be configured; the others every second
aws-cli is not tried in us-east-1, where version 1 sends RDS requests to AWS whatever
AWS_ENDPOINT_URL says
aws-sdk-go reads AWS_ENDPOINT_URL before its credentials: for IRSA and SSO it also gets
AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL_SSO";

/// Clients tried at the same time. Each has a server started.
const AT_ONCE: usize = 3;

/// Command line arguments.
#[derive(Default)]
struct Arguments {
    /// Directory of the installed clients.
    tools: PathBuf,
    /// Kits that could not be installed, with reasons.
    without: Vec<(String, String)>,
    /// Clients to try; all if empty.
    clients: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--tools" => arguments.tools = words.next()?.into(),
                "--without" => {
                    let given = words.next()?;
                    let (kit, why) = given.split_once('=')?;
                    arguments.without.push((kit.to_owned(), why.to_owned()));
                }
                option if option.starts_with('-') => return None,
                _ => arguments.clients.push(word),
            }
        }
        Some(arguments)
    }

    fn wants(&self, client: &Client) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|name| name == client.name)
    }

    fn lacks_kit(&self, kit: Kit) -> Option<&str> {
        self.without.iter().find(|(name, _)| name == kit.name()).map(|(_, reason)| reason.as_str())
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(unknown) =
        arguments.clients.iter().find(|name| CLIENTS.iter().all(|client| client.name != **name))
    {
        let known: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        eprintln!("there is no client {unknown:?}: there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let surprises = run(&arguments, &Stack::up());
    for surprise in &surprises {
        eprintln!("\n✗ {surprise}");
    }
    if surprises.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the table, a row when it is complete, and returns the failures.
fn run(arguments: &Arguments, stack: &Stack) -> Vec<String> {
    let place = Place { tools: &arguments.tools };
    let wanted: Vec<&Client> = CLIENTS.iter().filter(|client| arguments.wants(client)).collect();
    let table = Table::new(&COLUMNS.map(|column| column.title()));
    let mut surprises = Vec::new();
    let next = AtomicUsize::new(0);
    let (done, rows) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let done = done.clone();
            let (wanted, next, place) = (&wanted, &next, &place);
            scope.spawn(move || {
                while let Some(client) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    drop(done.send(row(client, arguments, place, stack)));
                }
            });
        }
        drop(done);
        for row in rows {
            table.print(&row);
            surprises.extend(row.failures());
        }
    });
    println!("{LEGEND}");
    surprises
}

fn row(client: &Client, arguments: &Arguments, place: &Place<'_>, stack: &Stack) -> Row {
    let version =
        arguments.lacks_kit(client.kit).map_or_else(|| client.version(), |why| Err(why.to_owned()));
    match version {
        Ok(version) => {
            Row { client: client.name, version, cells: Ok(trial::of(client, place, stack)) }
        }
        Err(why) => Row { client: client.name, version: "-".to_owned(), cells: Err(why) },
    }
}
