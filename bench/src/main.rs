//! Benchmarks of Countersign as ratios. Compared sides run in one process and in turns, so that a
//! slow or busy machine affects both. Times in brackets are for orientation.

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

/// Name and function of a benchmark.
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
        eprintln!("unknown case {unknown:?}: use {}, or none to run all", names.join(", "));
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
                eprintln!("cannot measure {name}: {}", error_chain(problem.as_ref()));
                status = ExitCode::FAILURE;
            }
        }
    }
    print!("{}", table::render(&rows));
    status
}

/// Formats an error with its causes.
fn error_chain(error: &dyn Error) -> String {
    error.source().map_or(error.to_string(), |cause| format!("{error}: {}", error_chain(cause)))
}
