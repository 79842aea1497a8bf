//! `bench`: the ratios that the README states.

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::header;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    setup::require(workspace, &[Need::PostgreSql, Need::Aws])?;
    header("build");
    // The programs that are measured, then what measures them.
    command::run(workspace.cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "countersign-cli",
        "--package",
        "countersign-pam",
    ]))?;
    let mut bench = workspace.cargo();
    bench.args(["run", "--release", "--locked", "--package", "countersign-bench", "--features", "sdk", "--"]);
    command::run(bench.args(arguments).env("PATH", workspace.path()))
}
