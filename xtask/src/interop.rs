//! `test interop`: clients and drivers that others wrote, installed as their users install them, on the real servers.

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use kit::KITS;

/// The servers, and what unpacks them.
const SERVERS: [Need; 3] = [Need::PostgreSql, Need::MariaDb, Need::Mmdebstrap];

/// All that it is better to have.
pub(crate) fn needs() -> Vec<Need> {
    SERVERS.into_iter().chain(KITS.iter().flat_map(|kit| kit.needs).copied()).collect()
}

/// Tries these clients, or all, from nothing.
pub(crate) fn run(workspace: &Workspace, clients: &[&str]) -> Result<(), Problem> {
    let lacking = setup::provide(workspace, &needs());
    header("build");
    command::run(workspace.cargo().args(["build", "--workspace", "--lib", "--bins", "--locked"]))?;
    attempt(workspace, clients, &lacking)
}

/// Tries them with what is built, and without what is lacking.
pub(crate) fn attempt(workspace: &Workspace, clients: &[&str], lacking: &[Need]) -> Result<(), Problem> {
    let tools = workspace.target().join("tools/interop");
    let mut interop = Command::new(workspace.binary("interop"));
    interop.arg("--tools").arg(&tools);
    for (need, engine) in [(Need::PostgreSql, "postgres"), (Need::MariaDb, "mariadb")] {
        if lacking.contains(&need) {
            interop.args(["--lacking", &format!("{engine}={} could not be installed", need.name())]);
        } else {
            interop.args(["--engine", engine]);
        }
    }
    match mysql(workspace) {
        Ok(program) => interop.args(["--engine", "mysql", "--mysql"]).arg(program),
        Err(problem) => interop.args(["--lacking", &format!("mysql={problem}")]),
    };
    for kit in &KITS {
        let missing = kit.needs.iter().find(|need| lacking.contains(need));
        let missing = missing.map(|need| format!("{} could not be installed", need.name()));
        let fetched = missing.map_or_else(|| kit.fetch(workspace, &tools.join(kit.name)), |why| Err(Problem::new(why)));
        match fetched {
            Ok(()) => kit.build(workspace, &tools.join(kit.name))?,
            Err(problem) => {
                note(&format!("{problem}: what it is for is skipped."));
                interop.args(["--without", &format!("{}={problem}", kit.name)]);
            }
        }
    }
    header("logins");
    command::run(interop.args(clients)).map_err(|_| Problem::new("not every client did what it should: what did not is marked ✗"))
}

/// Unpacks MySQL where that has not been done, and gives back its command line.
fn mysql(workspace: &Workspace) -> Result<PathBuf, Problem> {
    header("mysql, beside the system's servers");
    let printed = command::output(Command::new(workspace.binary("countersign")).args(["local", "install", "--engine", "mysql"]))?;
    // Engine, version and directory, in one line.
    let directory = printed.find('/').and_then(|at| printed.get(at..));
    let program = directory.map(|directory| Path::new(directory).join("usr/bin/mysql")).filter(|program| program.is_file());
    program.ok_or_else(|| Problem::new(format!("there is no mysql where `countersign local install` put the server: {printed}")))
}
