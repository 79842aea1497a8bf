//! Shell completions and manual pages, made from the command line's own description.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use countersign_core::failure::Failure;

use crate::output;
use crate::process::io_failure;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  countersign completion bash > /etc/bash_completion.d/countersign"
)]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign man | man -l -
  countersign man --directory /usr/local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write countersign.1, countersign-token.1 and so on here
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn completion(
    mut program: Command,
    arguments: &CompletionArguments,
) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "countersign", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end()).map(|()| ExitCode::SUCCESS)
}

pub(crate) fn man(program: Command, arguments: &ManArguments) -> Result<ExitCode, Failure> {
    match &arguments.directory {
        Some(directory) => {
            clap_mangen::generate_to(program, directory)
                .map_err(|error| io_failure(&directory.display().to_string(), &error))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(program)
                .render(&mut page)
                .map_err(|error| io_failure("the manual page", &error))?;
            output::line(String::from_utf8_lossy(&page).trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
