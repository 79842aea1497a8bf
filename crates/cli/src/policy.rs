//! `countersign policy`: evaluates IAM policies from a file.

use std::process::ExitCode;

use countersign_core::failure::{Class, Failure};
use countersign_core::policy::simulation::Simulation;

use crate::output::{self, Format};
use crate::process::read_text;

const INPUT: &str = "The input is one JSON object:
  principal                  ARN of a user, role, session or account
  action, resource           such as rds-db:connect and
                             arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER
  resource_account           account that owns the resource [default: the one in the ARN]
  context                    condition keys: {\"aws:PrincipalTag/team\": \"orders\", \
   \"aws:SourceIp\": \"10.0.0.1\"}
  identity_policies, permission_boundaries, session_policies
                             lists of policy documents
  service_control_policies, resource_control_policies
                             a list of documents per level, from the root down
  resource_policy            a policy document

Example:
  countersign policy simulate --input request.json
  {\"decision\": \"implicitDeny\", \"reason\": …, \"matched\": []}";

const EXPLAIN: &str = "The input is that of `countersign policy simulate`.

Example:
  countersign policy explain --input request.json";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Decide one request, as AWS's policy simulator does: allowed, explicitDeny or implicitDeny
    #[command(after_help = INPUT)]
    Simulate(SimulateArguments),
    /// Explain for every statement why it applies or not
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArguments {
    #[command(flatten)]
    input: Input,
    /// Output format
    #[arg(long, value_enum, default_value = "json")]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    input: Input,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct Input {
    /// File with the request and the policies, or - for standard input
    #[arg(long = "input", value_name = "FILE")]
    file: String,
}

impl Input {
    fn read(&self) -> Result<Simulation, Failure> {
        let text = read_text(&self.file)?;
        let name = if self.file == "-" { "standard input" } else { &self.file };
        Simulation::parse(&text).map_err(|mistakes| {
            Failure::new(Class::Configuration, format!("cannot read {name}:\n{mistakes}"))
        })
    }
}

/// Runs `countersign policy`.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Simulate(arguments) => {
            let result = arguments.input.read()?.run();
            match arguments.output {
                Format::Json => output::json(&result)?,
                Format::Text => output::line(&result.reason)?,
            }
        }
        Command::Explain(arguments) => {
            let explanation = arguments.input.read()?.explain();
            match arguments.output {
                Format::Json => output::json(&explanation)?,
                Format::Text => output::line(explanation.to_string().trim_end())?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
