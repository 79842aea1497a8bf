//! `test interop`: third-party clients, installed as their users install them: database drivers
//! with the real servers, AWS's clients with the authority's API, and that API beside moto's.

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use kit::{AWS_KITS, KITS, Kit, MOTO};

/// Servers, and the program that unpacks them.
const SERVERS: [Need; 3] = [Need::PostgreSql, Need::MariaDb, Need::Mmdebstrap];

/// Clients of AWS's API by their names in `e2e/src/bin/aws`.
const AWS_CLIENTS: [&str; 6] =
    ["aws-cli", "aws-sdk-rust", "boto3", "aws-sdk-js", "aws-sdk-go", "aws-sdk-java"];

/// Name of the comparison with moto.
const MOTO_NAME: &str = "moto";

/// Programs that the servers and clients need.
pub(crate) fn needs() -> Vec<Need> {
    let kits = KITS.iter().chain(&AWS_KITS).chain([&MOTO]);
    SERVERS.into_iter().chain(kits.flat_map(|kit| kit.needs).copied()).collect()
}

/// Builds the programs and runs these clients, or all.
pub(crate) fn run(workspace: &Workspace, clients: &[&str]) -> Result<(), Problem> {
    let lacking = setup::provide(workspace, &needs());
    header("build");
    command::run(workspace.cargo().args(["build", "--workspace", "--lib", "--bins", "--locked"]))?;
    attempt(workspace, clients, &lacking)
}

/// Runs these clients, or all, without those that need a program of `lacking`.
pub(crate) fn attempt(
    workspace: &Workspace,
    clients: &[&str],
    lacking: &[Need],
) -> Result<(), Problem> {
    let (aws, others): (Vec<&str>, Vec<&str>) =
        clients.iter().partition(|name| AWS_CLIENTS.contains(*name));
    let (moto, drivers): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|name| *name == MOTO_NAME);
    let all = clients.is_empty();
    let mut problems = Vec::new();
    if all || !drivers.is_empty() {
        problems.extend(attempt_drivers(workspace, &drivers, lacking).err());
    }
    if all || !aws.is_empty() {
        problems.extend(attempt_aws(workspace, &aws, lacking).err());
    }
    if all || !moto.is_empty() {
        problems.extend(compare_with_moto(workspace, lacking).err());
    }
    Problem::join(problems.into_iter().map(Err), "; ")
}

/// Runs the database drivers.
fn attempt_drivers(
    workspace: &Workspace,
    clients: &[&str],
    lacking: &[Need],
) -> Result<(), Problem> {
    let tools = tools(workspace);
    let mut interop = Command::new(workspace.binary("interop"));
    interop.arg("--tools").arg(&tools);
    for (need, engine) in [(Need::PostgreSql, "postgres"), (Need::MariaDb, "mariadb")] {
        if lacking.contains(&need) {
            interop.args(["--lacking", &format!("{engine}={} cannot be installed", need.name())]);
        } else {
            interop.args(["--engine", engine]);
        }
    }
    match mysql(workspace) {
        Ok(program) => interop.args(["--engine", "mysql", "--mysql"]).arg(program),
        Err(problem) => interop.args(["--lacking", &format!("mysql={problem}")]),
    };
    provide(workspace, &KITS, lacking, &mut interop)?;
    header("logins");
    command::run(interop.args(clients)).map_err(|_| Problem::new("a client failed: see ✗ above"))
}

/// Runs the clients of AWS's API, each from an identity to a login.
fn attempt_aws(workspace: &Workspace, clients: &[&str], lacking: &[Need]) -> Result<(), Problem> {
    if lacking.contains(&Need::PostgreSql) {
        note("AWS clients skipped: PostgreSQL, which they log in to, cannot be installed");
        return Ok(());
    }
    let mut aws = Command::new(workspace.binary("aws"));
    aws.arg("--tools").arg(tools(workspace)).env("PATH", workspace.path());
    provide(workspace, &AWS_KITS, lacking, &mut aws)?;
    header("AWS clients");
    command::run(aws.args(clients)).map_err(|_| Problem::new("an AWS client failed: see ✗ above"))
}

/// Installs moto for a command that can run without it.
pub(crate) fn provide_moto(workspace: &Workspace) {
    let lacking = setup::provide(workspace, MOTO.needs);
    if let Err(problem) = fetch(workspace, &MOTO, &lacking) {
        note(&format!("comparisons with moto skipped: {problem}"));
    }
}

/// Compares the responses of the authority's API with those of moto.
fn compare_with_moto(workspace: &Workspace, lacking: &[Need]) -> Result<(), Problem> {
    let directory = tools(workspace).join(MOTO.name);
    if let Err(problem) = fetch(workspace, &MOTO, lacking) {
        note(&format!("comparison with moto skipped: {problem}"));
        return Ok(());
    }
    header("comparison with moto");
    let mut compare = Command::new(directory.join("bin/python"));
    // -B: leaves no bytecode in the sources.
    compare
        .arg("-B")
        .arg(workspace.root().join("e2e/aws/moto/compare.py"))
        .arg(workspace.binary("countersign"));
    command::run(&mut compare).map_err(|_| {
        Problem::new(
            "responses differ from moto's: fix them or list them in e2e/aws/moto/differences.toml",
        )
    })
}

fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools/interop")
}

/// Fetches and builds kits; passes the names of those that cannot be fetched to the runner.
fn provide(
    workspace: &Workspace,
    kits: &[Kit],
    lacking: &[Need],
    runner: &mut Command,
) -> Result<(), Problem> {
    for kit in kits {
        match fetch(workspace, kit, lacking) {
            Ok(()) => kit.build(workspace, &tools(workspace).join(kit.name))?,
            Err(problem) => {
                note(&format!("clients of {} skipped: {problem}", kit.name));
                runner.args(["--without", &format!("{}={problem}", kit.name)]);
            }
        }
    }
    Ok(())
}

fn fetch(workspace: &Workspace, kit: &Kit, lacking: &[Need]) -> Result<(), Problem> {
    match kit.needs.iter().find(|need| lacking.contains(need)) {
        Some(need) => Err(Problem::new(format!("{} cannot be installed", need.name()))),
        None => kit.fetch(workspace, &tools(workspace).join(kit.name)),
    }
}

/// Unpacks MySQL if necessary, and returns the path of its client.
fn mysql(workspace: &Workspace) -> Result<PathBuf, Problem> {
    header("mysql, beside the system's servers");
    let printed = command::output(
        Command::new(workspace.binary("countersign"))
            .args(["local", "install", "--engine", "mysql"]),
    )?;
    // The output is one line with engine, version and directory.
    let directory = printed.find('/').and_then(|at| printed.get(at..));
    let program = directory
        .map(|directory| Path::new(directory).join("usr/bin/mysql"))
        .filter(|program| program.is_file());
    program.ok_or_else(|| {
        Problem::new(format!(
            "cannot find the mysql client of `countersign local install`: {printed}"
        ))
    })
}
