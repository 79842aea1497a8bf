//! Third-party drivers log in with tokens to a stack of real servers. `cargo xtask test interop`
//! installs them and runs this program.

mod attempt;
mod case;
mod client;
mod relay;
mod stack;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use attempt::Outcome;
use case::{CASES, Case};
use client::{CLIENTS, Client, Kit, Place};
use relay::Relay;
use stack::{Server, Stack};
use table::Table;

const USAGE: &str = "\
Usage: interop --tools DIR --engine ENGINE […] [--mysql FILE]
               [--lacking ENGINE=REASON …] [--without KIT=REASON …] [CLIENT …]

Exits with 0 if each cell of the table has its expected result.";

const LEGEND: &str = "\
ok: logged in over TLS · denied: by the server · driver: by the driver, before it sent the token
late: by the driver, after it sent the token · *: see below
proxy: through countersign proxy, without a token in the driver";

/// Command line arguments.
#[derive(Default)]
struct Arguments {
    /// Directory of the installed drivers.
    tools: PathBuf,
    /// MySQL's command-line client; Debian's `mysql` is MariaDB's.
    mysql: PathBuf,
    engines: Vec<String>,
    /// Servers that could not be installed, with reasons.
    lacking: Vec<(String, String)>,
    /// Kits that could not be installed, with reasons.
    without: Vec<(String, String)>,
    /// Drivers to try; all if empty.
    clients: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--tools" => arguments.tools = words.next()?.into(),
                "--mysql" => arguments.mysql = words.next()?.into(),
                "--engine" => arguments.engines.push(words.next()?),
                "--lacking" => arguments.lacking.push(reason(&words.next()?)?),
                "--without" => arguments.without.push(reason(&words.next()?)?),
                option if option.starts_with('-') => return None,
                _ => arguments.clients.push(word),
            }
        }
        (!arguments.engines.is_empty()).then_some(arguments)
    }

    fn wants(&self, client: &Client) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|name| name == client.name)
    }

    fn lacks_kit(&self, kit: Kit) -> Option<&str> {
        self.without.iter().find(|(name, _)| name == kit.name()).map(|(_, reason)| reason.as_str())
    }
}

/// Missing kits and servers, with reasons.
fn reason(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(what, why)| (what.to_owned(), why.to_owned()))
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
    let stack = Stack::up(&arguments.engines);
    let mut servers: Vec<(Server, Relay)> =
        arguments.engines.iter().map(|engine| stack.server(engine)).map(with_relay).collect();
    let (_site, _proxy) = stack.proxy(servers.iter_mut().map(|(server, _)| server));
    let surprises = run(&arguments, &stack, &servers);
    for surprise in &surprises {
        eprintln!("\n✗ {surprise}");
    }
    if surprises.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn with_relay(server: Server) -> (Server, Relay) {
    let relay = Relay::to(server.port());
    (server, relay)
}

/// Prints the table, and returns the unexpected results.
fn run(arguments: &Arguments, stack: &Stack, servers: &[(Server, Relay)]) -> Vec<String> {
    let place = Place { tools: &arguments.tools, mysql: &arguments.mysql };
    let mut table = Table::new(&CASES.map(Case::title));
    let mut surprises = Vec::new();
    for client in CLIENTS.iter().filter(|client| arguments.wants(client)) {
        for (server, relay) in
            servers.iter().filter(|(server, _)| client.speaks_to(server.engine()))
        {
            let version = match arguments
                .lacks_kit(client.kit)
                .map_or_else(|| client.version(&place), |why| Err(why.to_owned()))
            {
                Ok(version) => version,
                Err(why) => {
                    table.skipped(client.name, &server.title(), &why);
                    continue;
                }
            };
            table.begin(client.name, &version, &server.title());
            for case in CASES {
                let outcome = case.attempt(client, &place, stack, server, relay);
                table.cell(&outcome, client.limit(case, server.engine()).is_some());
                if let Outcome::Unexpected(what) = outcome {
                    surprises.push(format!(
                        "{} {version} on {}, {}: {what}",
                        client.name,
                        server.title(),
                        case.title()
                    ));
                }
            }
            table.end();
        }
    }
    for (server, why) in &arguments.lacking {
        table.skipped("all", server, why);
    }
    table.note(LEGEND);
    for client in CLIENTS.iter().filter(|client| arguments.wants(client)) {
        for limit in client.limits() {
            table.note(&format!("* {}, {}: {}", client.name, limit.case.title(), limit.why));
        }
    }
    surprises
}
