//! `countersign token` as a whole process, next to the real `aws rds generate-db-auth-token`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use crate::Problem;
use crate::paired::{Side, Spread, compare};
use crate::table::{Goal, Row};
use crate::token::{HOST, KEY_ID, PORT, REGION, SECRET, USER};

/// How many times each starts.
const ROUNDS: usize = 40;

/// How many times memory is looked at.
const LOOKS: usize = 9;

/// The argument with which this program starts another one and says how much memory that took at its peak.
pub(crate) const PEAK_MEMORY: &str = "--peak-memory";

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let home = tempfile::tempdir()?;
    let ours = countersign()?;
    let ours = || command(&ours, &["token"], home.path());
    let memory = peak(ours())?;
    let memory = Row::new(
        "countersign token, peak memory",
        memory,
        "MiB",
        Goal::AtMost(15.0),
        format!("{LOOKS} runs"),
    );
    let what = "aws rds generate-db-auth-token : countersign token";
    let Some(aws) = aws() else {
        return Ok(vec![Row::skipped(what, "there is no `aws` on the path"), memory]);
    };
    let theirs = || command(&aws, &["rds", "generate-db-auth-token"], home.path());
    let [aws, countersign] = compare(ROUNDS, [whole(theirs), whole(ours)])?;
    let aws_memory = Row::new(
        "aws rds generate-db-auth-token, peak memory",
        peak(theirs())?,
        "MiB",
        Goal::None,
        format!("{LOOKS} runs"),
    );
    Ok(vec![Row::ratio(what, &aws, &countersign, Goal::AtLeast(40.0)), memory, aws_memory])
}

/// The binary that was built with this one.
pub(crate) fn countersign() -> Result<PathBuf, Problem> {
    let program = env::current_exe()?.with_file_name("countersign");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} has not been built: `cargo xtask bench` does", program.display()).into())
    }
}

/// The command line tool itself, not the script by which pyenv finds it: starting that costs as much again.
fn aws() -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join("aws"))
        .find(|path| path.is_file())?;
    let shim = fs::read_to_string(&found).is_ok_and(|text| text.contains("PYENV_ROOT"));
    if !shim {
        return Some(found);
    }
    let output = Command::new("pyenv")
        .args(["which", "aws"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The same token from either, with credentials from the environment and nothing else to be found.
fn command(program: &Path, subcommand: &[&str], home: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(subcommand).args([
        "--hostname",
        HOST,
        "--port",
        &PORT.to_string(),
        "--username",
        USER,
        "--region",
        REGION,
    ]);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null());
    command
}

/// A process from its start to its end.
fn whole<'a>(command: impl Fn() -> Command + 'a) -> Side<'a> {
    Side::timed(move || {
        let start = Instant::now();
        let output = command().output()?;
        let took = start.elapsed();
        if output.status.success() {
            Ok(took)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().into())
        }
    })
}

/// The most memory that a program had at a time, in MiB. A process of its own starts it: what a child counts includes what its
/// parent had when it was started.
fn peak(command: Command) -> Result<Spread, Problem> {
    let mut witness = Command::new(env::current_exe()?);
    witness.arg(PEAK_MEMORY).arg(command.get_program()).args(command.get_args()).env_clear();
    witness.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let said = String::from_utf8(witness.output()?.stdout)?;
        looks.push(
            said.trim()
                .parse::<f64>()
                .map_err(|_| format!("{:?} could not be run", command.get_program()))?
                / 1024.0,
        );
    }
    Ok(Spread::of(looks))
}

/// Runs a program and prints the KiB that it had at its peak.
pub(crate) fn peak_memory(program: &str, arguments: &[String]) -> ExitCode {
    let ran = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    match getrusage(UsageWho::RUSAGE_CHILDREN) {
        Ok(usage) if ran => {
            println!("{}", usage.max_rss());
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
