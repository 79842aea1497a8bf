//! Command line arguments.

use clap::{Parser, Subcommand};

use crate::{authority, connect, generate, local, policy, proxy, reference, setup, token};

const STATUSES: &str = "Exit statuses:
  0   success, or the answer is yes
  1   the answer is no: the token is invalid, or nothing runs
  2   usage error: wrong flags or arguments
  3   no AWS credentials, no region, or expired credentials
  4   a server or daemon cannot be reached, or returns an unexpected response
  5   configuration error: a file, an installation or the environment
  70  internal error: a defect of countersign
`connect` and `exec` exit with the status of the program that they run.";

/// Log in to PostgreSQL, MySQL and MariaDB with AWS IAM and no password
#[derive(Debug, Parser)]
#[command(name = "countersign", version, after_long_help = STATUSES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print an authentication token, or inspect one
    #[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
    Token(token::Arguments),
    /// Run a proxy: local addresses at which any SQL client logs in without a token
    Proxy(Box<proxy::Arguments>),
    /// Open psql, mysql or mariadb with a fresh token, or serve a configured target for a while
    Connect(connect::ClientArguments),
    /// Run a command with a fresh token in its environment
    Exec(connect::CommandArguments),
    /// Evaluate IAM policies, and explain the decision
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run database servers on this machine that enforce IAM
    Local(local::Arguments),
    /// Run the authority for your own servers, and import or export its state
    #[command(subcommand)]
    Authority(authority::Command),
    /// Set up your own database server for IAM, or undo that; prints the plan unless --apply is
    /// given
    #[command(subcommand)]
    Setup(setup::Command),
    /// Print a shell's completion script
    Completion(generate::CompletionArguments),
    /// Print the manual page, or write one page per command
    Man(generate::ManArguments),
    /// Write the generated pages of the documentation
    #[command(hide = true)]
    Reference(reference::ReferenceArguments),
}
