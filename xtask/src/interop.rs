//! `test interop`: clients and drivers that others wrote, installed as their users install them: drivers on the real servers, AWS's
//! clients on the authority's API, and that API beside moto's.

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use kit::{AWS_KITS, KITS, Kit, MOTO};

/// The servers, and what unpacks them.
const SERVERS: [Need; 3] = [Need::PostgreSql, Need::MariaDb, Need::Mmdebstrap];

/// The clients of AWS's API, as `e2e/src/bin/aws` knows them.
const AWS_CLIENTS: [&str; 6] =
    ["aws-cli", "aws-sdk-rust", "boto3", "aws-sdk-js", "aws-sdk-go", "aws-sdk-java"];

/// What the comparison with moto goes by.
const MOTO_NAME: &str = "moto";

/// All that it is better to have.
pub(crate) fn needs() -> Vec<Need> {
    let kits = KITS.iter().chain(&AWS_KITS).chain([&MOTO]);
    SERVERS.into_iter().chain(kits.flat_map(|kit| kit.needs).copied()).collect()
}

/// Tries these clients, or all, from nothing.
pub(crate) fn run(workspace: &Workspace, clients: &[&str]) -> Result<(), Problem> {
    let lacking = setup::provide(workspace, &needs());
    header("build");
    command::run(workspace.cargo().args(["build", "--workspace", "--lib", "--bins", "--locked"]))?;
    attempt(workspace, clients, &lacking)
}

/// Tries them with what is built, and without what is lacking: all the news, also where some of it is bad.
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
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(()) } else { Err(Problem::new(problems.join("; "))) }
}

/// Drivers of databases, with tokens that are minted here.
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
            interop
                .args(["--lacking", &format!("{engine}={} could not be installed", need.name())]);
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
    command::run(interop.args(clients))
        .map_err(|_| Problem::new("not every client did what it should: what did not is marked ✗"))
}

/// Clients of AWS's API, which go from an identity to a login.
fn attempt_aws(workspace: &Workspace, clients: &[&str], lacking: &[Need]) -> Result<(), Problem> {
    if lacking.contains(&Need::PostgreSql) {
        note(
            "PostgreSQL could not be installed: the AWS clients, which log in to it, are skipped.",
        );
        return Ok(());
    }
    let mut aws = Command::new(workspace.binary("aws"));
    aws.arg("--tools").arg(tools(workspace)).env("PATH", workspace.path());
    provide(workspace, &AWS_KITS, lacking, &mut aws)?;
    header("AWS clients");
    command::run(aws.args(clients)).map_err(|_| {
        Problem::new("not every AWS client did what it should: what did not is marked ✗")
    })
}

/// moto for those who can do without it, but better have it.
pub(crate) fn provide_moto(workspace: &Workspace) {
    let lacking = setup::provide(workspace, MOTO.needs);
    if let Err(problem) = fetch(workspace, &MOTO, &lacking) {
        note(&format!("{problem}: what is compared with moto is skipped."));
    }
}

/// What both implementations of AWS's API answer, side by side.
fn compare_with_moto(workspace: &Workspace, lacking: &[Need]) -> Result<(), Problem> {
    let directory = tools(workspace).join(MOTO.name);
    if let Err(problem) = fetch(workspace, &MOTO, lacking) {
        note(&format!("{problem}: the comparison with moto is skipped."));
        return Ok(());
    }
    header("the shape of answers, compared with moto's");
    let mut compare = Command::new(directory.join("bin/python"));
    // -B: nothing is left beside the sources.
    compare
        .arg("-B")
        .arg(workspace.root().join("e2e/aws/moto/compare.py"))
        .arg(workspace.binary("countersign"));
    command::run(&mut compare).map_err(|_| {
        Problem::new("answers differ from moto's otherwise than e2e/aws/moto/differences.toml says")
    })
}

fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools/interop")
}

/// Gets and builds kits, and tells the runner which it has to do without.
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
                note(&format!("{problem}: what it is for is skipped."));
                runner.args(["--without", &format!("{}={problem}", kit.name)]);
            }
        }
    }
    Ok(())
}

fn fetch(workspace: &Workspace, kit: &Kit, lacking: &[Need]) -> Result<(), Problem> {
    match kit.needs.iter().find(|need| lacking.contains(need)) {
        Some(need) => Err(Problem::new(format!("{} could not be installed", need.name()))),
        None => kit.fetch(workspace, &tools(workspace).join(kit.name)),
    }
}

/// Unpacks MySQL where that has not been done, and gives back its command line.
fn mysql(workspace: &Workspace) -> Result<PathBuf, Problem> {
    header("mysql, beside the system's servers");
    let printed = command::output(
        Command::new(workspace.binary("countersign"))
            .args(["local", "install", "--engine", "mysql"]),
    )?;
    // Engine, version and directory, in one line.
    let directory = printed.find('/').and_then(|at| printed.get(at..));
    let program = directory
        .map(|directory| Path::new(directory).join("usr/bin/mysql"))
        .filter(|program| program.is_file());
    program.ok_or_else(|| {
        Problem::new(format!(
            "there is no mysql where `countersign local install` put the server: {printed}"
        ))
    })
}
