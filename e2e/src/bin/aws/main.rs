//! Unmodified AWS clients against the authority's API, from an identity to a login, with credentials from every source:
//! `cargo xtask test interop` sets up what they need, and starts this.

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

Ends with 0 where no cell of the table failed.";

const LEGEND: &str = "\
ok: it did what it should · ✗: it did not, see below · -: not tried, since an earlier step failed
refused: a key that is switched off gets AWS's error from the SDK · IRSA to SSO: identity, token and login with credentials from there
aws-cli and aws-sdk-rust wait in steps of 30 s, which can't be set: the others ask each second
aws-cli is not tried in us-east-1: its first version sends RDS's requests there to AWS itself, whatever AWS_ENDPOINT_URL says
aws-sdk-go looks at AWS_ENDPOINT_URL when its credentials' clients are made: for IRSA and SSO it has AWS_ENDPOINT_URL_STS and _SSO too";

/// How many clients are at it at once: each has a server started.
const AT_ONCE: usize = 3;

/// What the command line says.
#[derive(Default)]
struct Arguments {
    /// Where the clients were installed.
    tools: PathBuf,
    /// What could not be installed, and why.
    without: Vec<(String, String)>,
    /// The clients to be tried; all where none is named.
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

/// Prints the table, each row when it is complete, and gives back what failed.
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
