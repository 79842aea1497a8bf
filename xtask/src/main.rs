//! `cargo xtask`: one entry for each habit of the project. CI and people run the same.

mod apt;
mod bench;
mod check;
mod command;
mod demo;
mod fuzz;
mod interop;
mod problem;
mod setup;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use problem::Problem;
use workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  check [text | --install]       forbidden words, sizes, format, lints, documentation, dependencies; text: the first two; --install gets cargo-deny
  test [CRATE | FILTER] […]      every test, those of one crate, or those whose name holds FILTER; the rest goes to cargo test
  test interop [CLIENT] […]      clients and drivers that others wrote, logging in to the real servers; part of every test
  demo [--down]                  real logins to the real servers, and each way to be refused; --down stops it all at the end
  bench […]                      the benchmarks; the rest goes to them
  fuzz [TARGET] [--seconds N]    every fuzz target, or one, for N seconds each (60)

What a command needs and this machine lacks is installed first, and said.";

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
        ["bench", rest @ ..] => bench::run(&workspace, rest),
        ["fuzz", rest @ ..] => fuzz::run(&workspace, rest),
        [unknown, ..] => Err(Problem::usage(&format!("there is no command {unknown:?}"))),
    }
}
