//! The command line.

use clap::{Parser, Subcommand};

use crate::{authority, connect, generate, local, policy, proxy, reference, setup, token};

const STATUSES: &str = "Exit statuses:
  0   success; the answer is yes
  1   the answer is no: the token is not valid, nothing runs
  2   flags or arguments are wrong
  3   there are no AWS credentials or no region, or the credentials have expired
  4   a server or daemon can't be reached, or does not answer as it should
  5   a file, an installation or the environment is not as it must be
  70  a defect of countersign
`connect` and `exec` end with the status of the program that they run.";

/// Log in to PostgreSQL, MySQL and MariaDB with AWS IAM and no password
#[derive(Debug, Parser)]
#[command(name = "countersign", version, after_long_help = STATUSES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a token to log in with, or look into one
    #[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
    Token(token::Arguments),
    /// Give databases a plain local address, where any SQL client logs in without a token
    Proxy(Box<proxy::Arguments>),
    /// Open psql, mysql or mariadb with a fresh token, or a target of countersign.toml to any client for a while
    Connect(connect::ClientArguments),
    /// Run any command with a fresh token in its environment
    Exec(connect::CommandArguments),
    /// Decide by IAM policies, and say why
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run real database servers on this machine that enforce IAM
    Local(local::Arguments),
    /// Run the authority for servers of your own, and carry its state in and out
    #[command(subcommand)]
    Authority(authority::Command),
    /// Set up a server of your own to ask a verifier, or undo that; it is printed unless --apply is given
    #[command(subcommand)]
    Setup(setup::Command),
    /// Print the completions of a shell
    Completion(generate::CompletionArguments),
    /// Print the manual page, or write one for each command
    Man(generate::ManArguments),
    /// Write the generated pages of the documentation
    #[command(hide = true)]
    Reference(reference::ReferenceArguments),
}
