//! `bench`: the benchmarks whose ratios docs/performance.md states.

use crate::command;
use crate::interop;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::header;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    setup::require(workspace, &[Need::PostgreSql, Need::Aws])?;
    interop::provide_moto(workspace);
    header("build");
    let build = ["build", "--release", "--locked"];
    // Built apart from the benchmark, whose dependencies would add features to the measured code.
    command::run(workspace.cargo().args(build).args([
        "--package",
        "countersign-cli",
        "--package",
        "countersign-pam",
        "--lib",
        "--bins",
    ]))?;
    command::run(workspace.cargo().args(build).args([
        "--package",
        "countersign-bench",
        "--features",
        "sdk",
    ]))?;
    header("bench");
    let mut bench = workspace.cargo();
    bench.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "countersign-bench",
        "--features",
        "sdk",
        "--",
    ]);
    command::run(bench.args(arguments).env("PATH", workspace.path()))
}
