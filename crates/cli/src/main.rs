//! `countersign`: log in to PostgreSQL, MySQL and MariaDB with AWS IAM and no password.

mod arguments;
mod authority;
mod connect;
mod generate;
mod inspect;
mod local;
mod output;
mod policy;
mod process;
mod proxy;
mod reference;
mod setup;
mod signing;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use countersign_core::failure::Failure;

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
