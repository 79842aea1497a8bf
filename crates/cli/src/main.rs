//! `countersign`: log in to PostgreSQL, MySQL and MariaDB with AWS IAM and no password.

mod arguments;
mod authority;
mod connect;
mod generate;
mod inspect;
mod local;
mod output;
mod policy;
mod proxy;
mod reference;
mod setup;
mod signing;
mod token;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use countersign_core::failure::{Class, Failure};

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(status) => status,
        Err(failure) => {
            output::error(&failure);
            ExitCode::from(failure.class.exit_status())
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Token(arguments) => match arguments.command {
            Some(token::Command::Inspect(arguments)) => inspect::run(&arguments),
            None => token::run(&arguments.mint),
        },
        Command::Connect(arguments) => connect::client(arguments),
        Command::Exec(arguments) => connect::command(&arguments),
        Command::Proxy(arguments) => proxy::run(*arguments),
        Command::Policy(command) => policy::run(&command),
        Command::Authority(command) => authority::run(&command),
        Command::Local(arguments) => local::run(arguments),
        Command::Setup(command) => setup::run(&command),
        Command::Completion(arguments) => generate::completion(Arguments::command(), &arguments),
        Command::Man(arguments) => generate::man(Arguments::command(), &arguments),
        Command::Reference(arguments) => reference::write(Arguments::command(), &arguments),
    }
}

/// A runtime of one thread: what blocks has threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(Class::Internal, format!("no runtime: {error}")))
}

/// What the system says of a file, as a failure; a pipe that its reader closed is none.
fn io_failure(what: &str, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        // As `head` and `grep -q` leave it: the reader has what it wanted.
        std::process::exit(0);
    }
    Failure::new(Class::Configuration, format!("{what}: {error}"))
}
