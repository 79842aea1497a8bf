//! `countersign policy`: decisions by IAM policies, from a file.

use std::io::{self, Read};
use std::process::ExitCode;

use countersign_core::failure::{Class, Failure};
use countersign_core::policy::simulation::Simulation;

use crate::io_failure;
use crate::output::{self, Format};

/// The longest input, in bytes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

const INPUT: &str = "The input is one JSON object:
  principal                  the ARN of a user, role, session or account
  action, resource           such as rds-db:connect and arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER
  resource_account           the account that owns the resource [default: the one in the ARN]
  context                    condition keys: {\"aws:PrincipalTag/team\": \"orders\", \"aws:SourceIp\": \"10.0.0.1\"}
  identity_policies, permission_boundaries, session_policies
                             lists of policy documents
  service_control_policies, resource_control_policies
                             a list of documents for each level, from the root down
  resource_policy            a policy document

Example:
  countersign policy simulate --input request.json
  {\"decision\": \"implicitDeny\", \"reason\": …, \"matched\": []}";

const EXPLAIN: &str = "The input is that of `countersign policy simulate`.

Example:
  countersign policy explain --input request.json";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Decide one request, as AWS's policy simulator would: allowed, explicitDeny or implicitDeny
    #[command(after_help = INPUT)]
    Simulate(SimulateArguments),
    /// Say of every statement why it does or does not apply
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArguments {
    #[command(flatten)]
    input: Input,
    /// How it is printed
    #[arg(long, value_enum, default_value = "json")]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    input: Input,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct Input {
    /// The file with the request and the policies; - is standard input
    #[arg(long = "input", value_name = "FILE")]
    file: String,
}

impl Input {
    fn read(&self) -> Result<Simulation, Failure> {
        let text = read_text(&self.file)?;
        let name = if self.file == "-" { "standard input" } else { &self.file };
        Simulation::parse(&text).map_err(|mistakes| {
            Failure::new(Class::Configuration, format!("{name} is refused\n{mistakes}"))
        })
    }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text),
        _ => std::fs::File::open(file)
            .and_then(|opened| opened.take(MAX_INPUT).read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|error| io_failure(file, &error))
}

/// Decides or explains.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Simulate(arguments) => {
            let outcome = arguments.input.read()?.run();
            match arguments.output {
                Format::Json => output::json(&outcome)?,
                Format::Text => output::line(&outcome.reason)?,
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
