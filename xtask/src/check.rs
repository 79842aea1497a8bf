//! `check`: everything that can be said of the code without running it.

use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::terminal::{header, note};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let install = match arguments {
        [] => false,
        ["--install"] => true,
        _ => return Err(Problem::usage("`check` takes `--install` or nothing")),
    };
    if install && !has_cargo_deny(workspace) {
        header("cargo-deny");
        command::run(workspace.cargo().args(["install", "--locked", "cargo-deny"]))?;
    }

    let mut checks = Checks::default();
    checks.run("format", workspace.cargo().args(["fmt", "--all", "--check"]));
    checks.run(
        "lints",
        workspace.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    );
    check_clients(workspace, &mut checks);
    let mut doc = workspace.cargo();
    checks.run(
        "documentation",
        doc.args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    if has_cargo_deny(workspace) {
        check_dependencies(workspace, &mut checks);
    } else {
        note(
            "The dependencies were not checked, for want of cargo-deny: `cargo xtask check --install` builds it, in a few minutes.",
        );
    }
    checks.conclude()
}

/// The clients in Rust that `test interop` starts are a workspace of their own; only the target directory is shared.
fn check_clients(workspace: &Workspace, checks: &mut Checks) {
    let manifest = workspace.root().join("e2e/interop/rust/Cargo.toml");
    let cargo = |what| {
        let mut cargo = workspace.cargo();
        cargo
            .args([what, "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", workspace.target());
        cargo
    };
    checks.run("format of the interop clients", cargo("fmt").arg("--check"));
    checks.run(
        "lints of the interop clients",
        cargo("clippy").args(["--all-targets", "--locked", "--", "-D", "warnings"]),
    );
}

fn has_cargo_deny(workspace: &Workspace) -> bool {
    command::works(workspace.cargo().args(["deny", "--version"]))
}

fn check_dependencies(workspace: &Workspace, checks: &mut Checks) {
    let mut deny = workspace.cargo();
    checks.run(
        "dependencies",
        deny.args(["deny", "--workspace", "--locked", "check", "bans", "licenses", "sources"]),
    );
    if let Err(problem) = command::run(workspace.cargo().args(["deny", "fetch", "db"])) {
        note(&format!(
            "{problem}: the dependencies were not looked up among known vulnerabilities."
        ));
        return;
    }
    let mut deny = workspace.cargo();
    checks.run(
        "vulnerabilities",
        deny.args(["deny", "--workspace", "--locked", "check", "--disable-fetch", "advisories"]),
    );
}

/// Runs one after the other, whatever comes of each: who mends one wants to know of the others.
#[derive(Default)]
struct Checks {
    failed: Vec<&'static str>,
}

impl Checks {
    fn run(&mut self, name: &'static str, command: &mut Command) {
        header(name);
        if let Err(problem) = command::run(command) {
            note(&problem.to_string());
            self.failed.push(name);
        }
    }

    fn conclude(self) -> Result<(), Problem> {
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(format!("something is wrong with {}", self.failed.join(", "))))
        }
    }
}
