//! `cargo xtask`: one command for each recurring task. CI runs the same commands as developers.

mod apt;
mod bench;
mod check;
mod command;
mod demo;
mod fuzz;
mod interop;
mod pages;
mod problem;
mod reference;
mod setup;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use problem::Problem;
use workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  check [--install]          words and sizes, format, lints, documentation, dependencies;
                             --install installs cargo-deny first
  check text                 words and sizes only
  test                       every test: those of the crates, interop and docs
  test CRATE | FILTER […]    tests of one crate, or those whose name contains FILTER;
                             further arguments go to cargo test
  test interop [CLIENT] […]  third-party clients and drivers, against the real servers
  test docs [PAGE] […]       the command blocks of README.md and docs/, or of the pages whose
                             path contains PAGE
  demo [--down]              logins to the real servers, and each way to be denied;
                             --down stops the servers at the end
  docs [--check]             generate the reference pages of docs/reference; --check compares
                             them with those in the repository
  bench […]                  benchmarks; arguments go to them
  fuzz [TARGET] [--seconds N]
                             every fuzz target, or one, for N seconds each (60)

Each command reports and installs missing programs that it needs.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{} {problem}", terminal::red("xtask:"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Problem> {
    let workspace = Workspace::here()?;
    match arguments {
        [] | ["help" | "--help" | "-h", ..] | [_, "--help" | "-h", ..] => {
            println!("{USAGE}");
            Ok(())
        }
        ["check", rest @ ..] => check::run(&workspace, rest),
        ["test", rest @ ..] => test::run(&workspace, rest),
        ["demo", rest @ ..] => demo::run(&workspace, rest),
        ["docs", rest @ ..] => reference::run(&workspace, rest),
        ["bench", rest @ ..] => bench::run(&workspace, rest),
        ["fuzz", rest @ ..] => fuzz::run(&workspace, rest),
        [unknown, ..] => Err(Problem::usage(&format!("unknown command {unknown:?}"))),
    }
}
