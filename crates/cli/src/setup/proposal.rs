//! Output and application of a plan.

use std::process::ExitCode;

use countersign_core::failure::{Class, Failure};
use countersign_setup::{Action, Client, Content, Plan, SetupError};
use serde_json::{Value, json};

use crate::output::{self, Format};

/// Flags of every setup command.
#[derive(Debug, clap::Args)]
pub(super) struct PlanFlags {
    /// Apply the plan; without this flag it is only printed
    #[arg(long)]
    apply: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// A plan, its server, and what the operator has to do afterwards.
pub(super) struct Proposal {
    /// Description of the server in one line.
    pub(super) title: String,
    pub(super) plan: Plan,
    /// Message if nothing is left to do.
    pub(super) complete: &'static str,
    pub(super) afterwards: Vec<String>,
}

impl Proposal {
    /// Prints the plan, or applies it and prints the result.
    pub(super) fn execute(&self, client: &Client, flags: &PlanFlags) -> Result<ExitCode, Failure> {
        if flags.apply {
            self.plan
                .apply(client, |step| {
                    output::note(&output::escape_control(&format!("· {}", step.action)))
                })
                .map_err(|error| failure(&error))?;
        }
        match flags.output {
            Format::Json => output::json(&self.value(flags.apply))?,
            Format::Text if flags.apply => {
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

    /// Formats each step with the current state, and the text of files to write.
    fn text(&self) -> String {
        let mut text = format!("{}\n", output::escape_control(&self.title));
        for (number, step) in (1..).zip(&self.plan.steps) {
            let state = if step.done {
                format!("done: {}", step.now)
            } else {
                format!("now: {}", step.now)
            };
            text.push_str(&format!(
                "\n{number}. {}\n   {state}\n",
                output::escape_control(&step.action.to_string())
            ));
            if let Action::Write { content: Content::Content(file), .. } = &step.action {
                file.lines().for_each(|line| {
                    text.push_str(&format!("   | {}\n", output::escape_control(line)))
                });
            }
        }
        text.push('\n');
        text.push_str(if self.plan.is_done() {
            self.conclusion()
        } else {
            "Nothing was changed: apply the plan with --apply."
        });
        text + &self.afterwards()
    }

    fn conclusion(&self) -> &'static str {
        if self.plan.restart {
            "Everything is in place and takes effect at the server's next start."
        } else {
            self.complete
        }
    }

    fn afterwards(&self) -> String {
        if self.afterwards.is_empty() {
            return String::new();
        }
        let lines: String = self
            .afterwards
            .iter()
            .map(|line| format!("\n  - {}", output::escape_control(line)))
            .collect();
        format!("\n\nNext steps:{lines}")
    }
}

/// Converts an error of the setup into a failure.
pub(super) fn failure(error: &SetupError) -> Failure {
    Failure::new(error.class(), error.to_string())
}

/// Returns a usage error.
pub(super) fn usage_failure(text: &str) -> Failure {
    Failure::new(Class::Usage, text)
}
