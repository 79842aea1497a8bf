//! Whole runs of `countersign token`, compared with `aws rds generate-db-auth-token`.

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

/// Number of runs of each.
const ROUNDS: usize = 40;

/// Number of memory measurements.
const MEMORY_RUNS: usize = 9;

/// Argument with which this program runs another one and prints that one's peak memory.
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
        format!("{MEMORY_RUNS} runs"),
    );
    let what = "aws rds generate-db-auth-token : countersign token";
    let Some(aws) = aws() else {
        return Ok(vec![Row::skipped(what, "`aws` not found in PATH"), memory]);
    };
    let theirs = || command(&aws, &["rds", "generate-db-auth-token"], home.path());
    let [aws, countersign] = compare(ROUNDS, [process_time(theirs), process_time(ours)])?;
    let aws_memory = Row::new(
        "aws rds generate-db-auth-token, peak memory",
        peak(theirs())?,
        "MiB",
        Goal::None,
        format!("{MEMORY_RUNS} runs"),
    );
    Ok(vec![Row::ratio(what, &aws, &countersign, Goal::AtLeast(40.0)), memory, aws_memory])
}

/// Returns the binary that was built with this one.
pub(crate) fn countersign() -> Result<PathBuf, Problem> {
    let program = env::current_exe()?.with_file_name("countersign");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} not found: `cargo xtask bench` builds it", program.display()).into())
    }
}

/// Finds the AWS CLI itself instead of pyenv's shim, which doubles the start-up time.
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

/// Returns the command for a token, with credentials from the environment only.
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

/// Measures a process from start to end.
fn process_time<'a>(command: impl Fn() -> Command + 'a) -> Side<'a> {
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

/// Measures the peak memory of a program, in MiB. A separate process starts it, because a child's
/// peak includes the memory of its parent at the start.
fn peak(command: Command) -> Result<Spread, Problem> {
    let mut runner = Command::new(env::current_exe()?);
    runner.arg(PEAK_MEMORY).arg(command.get_program()).args(command.get_args()).env_clear();
    runner.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut peaks = Vec::new();
    for _ in 0..MEMORY_RUNS {
        let output = String::from_utf8(runner.output()?.stdout)?;
        peaks.push(
            output
                .trim()
                .parse::<f64>()
                .map_err(|_| format!("cannot run {:?}", command.get_program()))?
                / 1024.0,
        );
    }
    Ok(Spread::of(peaks))
}

/// Runs a program and prints its peak memory in KiB.
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
