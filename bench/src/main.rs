//! How fast Countersign is, as ratios: what is compared runs in one process and turn by turn, so that a machine that is slow
//! or busy is so for both. Times in brackets are for orientation.

mod api;
mod blocks;
mod decide;
mod login;
mod mint;
mod paired;
mod population;
mod process;
mod proxy;
mod stack;
mod table;
mod token;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use paired::Problem;
use table::Row;

/// What has a name to be called by, and is measured.
type Case = (&'static str, fn() -> Result<Vec<Row>, Problem>);

const CASES: [Case; 8] = [
    ("mint", mint::rows),
    ("verify", verify::rows),
    ("decide", decide::rows),
    ("process", process::rows),
    ("login", login::rows),
    ("proxy", proxy::rows),
    ("population", population::rows),
    ("api", api::rows),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, program, rest @ ..] = arguments.as_slice()
        && first == process::PEAK_MEMORY
    {
        return process::peak_memory(program, rest);
    }
    let names = CASES.map(|(name, _)| name);
    if let Some(unknown) = arguments.iter().find(|argument| !names.contains(&argument.as_str())) {
        eprintln!(
            "there is no case {unknown:?}, but {}; without any, all are run",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    let mut status = ExitCode::SUCCESS;
    let mut rows = Vec::new();
    for (name, case) in CASES.iter().filter(|(name, _)| {
        arguments.is_empty() || arguments.iter().any(|argument| argument == name)
    }) {
        eprintln!("· {name}");
        match case() {
            Ok(measured) => rows.extend(measured),
            Err(problem) => {
                eprintln!("{name} can't be measured: {}", whole(problem.as_ref()));
                status = ExitCode::FAILURE;
            }
        }
    }
    print!("{}", table::render(&rows));
    status
}

/// An error with what lies behind it.
fn whole(error: &dyn Error) -> String {
    error.source().map_or(error.to_string(), |cause| format!("{error}: {}", whole(cause)))
}
