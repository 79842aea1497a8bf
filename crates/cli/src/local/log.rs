//! `countersign local log`: prints login decisions.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use countersign_core::audit::AuditRecord;
use countersign_core::failure::{AuditOutcome, Failure};
use countersign_local::Layout;
use countersign_local::state::State;

use super::context::failure;
use crate::output::{self, Format};
use crate::process::io_failure;

/// Interval between checks for new lines.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign local log --follow\n  countersign local log --output \
     json | jq .reason"
)]
pub(super) struct Arguments {
    /// Follow new decisions until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Output format; JSON is one record per line
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Prints the log of a stack, whether or not it runs.
pub(super) fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let state = State::read(layout).map_err(|error| failure(&error))?;
    let path = match state {
        Some(state) => state.audit_log,
        None => {
            return Err(failure(&countersign_local::LocalError::NotRunning(
                layout.root().to_owned(),
            )));
        }
    };
    let named = |error: &io::Error| io_failure(&path.display().to_string(), error);
    let mut reader = BufReader::new(File::open(&path).map_err(|error| named(&error))?);
    let mut line = String::new();
    loop {
        // A line that is being written may be read in two parts: it is printed once it is complete.
        let read = reader.read_line(&mut line).map_err(|error| named(&error))?;
        if line.ends_with('\n') {
            print(line.trim_end(), arguments.output)?;
            line.clear();
        } else if read == 0 && !arguments.follow {
            return Ok(ExitCode::SUCCESS);
        } else if read == 0 {
            thread::sleep(PERIOD);
        }
    }
}

fn print(line: &str, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::line(line);
    }
    // A process killed while writing leaves an incomplete line.
    let Ok(record) = serde_json::from_str::<AuditRecord>(line) else {
        output::note("note: skipped an invalid line of the log");
        return Ok(());
    };
    let (word, paint) = match record.outcome {
        AuditOutcome::Allowed => ("allowed", "32"),
        AuditOutcome::Denied => ("denied", "31"),
        AuditOutcome::Error => ("error", "33"),
    };
    let outcome = if output::use_color(&io::stdout()) {
        format!("\u{1b}[{paint}m{word:<7}\u{1b}[0m")
    } else {
        format!("{word:<7}")
    };
    let class = record.class.map_or(String::new(), |class| format!("{class}: "));
    let (time, instance, user) = (&record.time, &record.instance, record.user);
    let rest = output::escape_control(&format!("{user}@{instance}  {class}{}", record.reason));
    output::line(&format!("{time}  {outcome}  {rest}"))
}
