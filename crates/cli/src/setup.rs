//! `countersign setup`: plans for servers that somebody else runs, printed or applied.

mod plugin;

use std::process::ExitCode;

use countersign_core::failure::{Class, Failure};
use countersign_setup::{Action, Client, Content, Plan, SetupError};
use serde_json::{Value, json};

use crate::output::{self, Format};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Put AWSAuthenticationPlugin into a MariaDB or MySQL server that runs on this machine, or take it out
    Plugin(plugin::Arguments),
}

/// Runs the command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Plugin(arguments) => plugin::run(arguments),
    }
}

/// What every command here can be told.
#[derive(Debug, clap::Args)]
struct Manner {
    /// Do it; without this flag it is only printed
    #[arg(long)]
    apply: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// A plan, what it is for, and what its user has to do beside it.
struct Proposal {
    /// The server, in a line.
    title: String,
    plan: Plan,
    /// What is said where nothing is left to do.
    complete: &'static str,
    afterwards: Vec<String>,
}

impl Proposal {
    /// Prints the plan, or applies it and says so.
    fn carry_out(&self, client: &Client, manner: &Manner) -> Result<ExitCode, Failure> {
        if manner.apply {
            self.plan
                .apply(client, |step| output::note(&output::plain(&format!("· {}", step.action))))
                .map_err(|error| failure(&error))?;
        }
        match manner.output {
            Format::Json => output::json(&self.value(manner.apply))?,
            Format::Text if manner.apply => {
                output::line(&format!("{}{}", self.conclusion(), self.afterwards()))?
            }
            Format::Text => output::line(&self.text())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn value(&self, applied: bool) -> Value {
        json!({
            "server": self.title,
            "applied": applied,
            "steps": self.plan.steps,
            "restart": self.plan.restart,
            "afterwards": self.afterwards,
        })
    }

    /// Each step with what is there now, a file's text below it.
    fn text(&self) -> String {
        let mut text = format!("{}\n", output::plain(&self.title));
        for (number, step) in (1..).zip(&self.plan.steps) {
            let state = if step.done {
                format!("done: {}", step.now)
            } else {
                format!("now: {}", step.now)
            };
            text.push_str(&format!(
                "\n{number}. {}\n   {state}\n",
                output::plain(&step.action.to_string())
            ));
            if let Action::Write { content: Content::Content(file), .. } = &step.action {
                file.lines()
                    .for_each(|line| text.push_str(&format!("   | {}\n", output::plain(line))));
            }
        }
        text.push('\n');
        text.push_str(if self.plan.is_done() {
            self.conclusion()
        } else {
            "Nothing has been changed: --apply does it."
        });
        text + &self.afterwards()
    }

    fn conclusion(&self) -> &'static str {
        if self.plan.restart {
            "All is there, and counts from the server's next start on."
        } else {
            self.complete
        }
    }

    fn afterwards(&self) -> String {
        if self.afterwards.is_empty() {
            return String::new();
        }
        let lines: String =
            self.afterwards.iter().map(|line| format!("\n  - {}", output::plain(line))).collect();
        format!("\n\nBeside this:{lines}")
    }
}

fn failure(error: &SetupError) -> Failure {
    Failure::new(error.class(), error.to_string())
}

fn misused(text: &str) -> Failure {
    Failure::new(Class::Usage, text)
}
