//! `check`: every check of the sources that does not run the product.

mod text;

use std::process::Command;

use crate::problem::Problem;
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use crate::{command, reference};
use text::{Finding, Source};

/// Finds the lines that break a rule.
type Rule = fn(&[Source]) -> Vec<Finding>;

/// Checks of the text: name, remedy, rule.
const TEXT_CHECKS: [(&str, &str, Rule); 4] = [
    (
        "words",
        "name the actor or the event: client, server, proxy, caller, operator; request, close",
        text::forbidden_words,
    ),
    (
        "openings of doc comments",
        "begin with a verb or a noun: \"Returns true if …\", \"Path of …\"",
        text::question_openings,
    ),
    ("length of files", "split the file by subject", text::long_files),
    (
        "width of lines",
        "wrap the line; rustfmt leaves comments and literals alone",
        text::wide_lines,
    ),
];

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    match arguments {
        [] => {}
        ["text"] => {
            let mut checks = Checks::default();
            check_text(workspace, &mut checks)?;
            return checks.conclude();
        }
        ["--install"] if has_cargo_deny(workspace) => {}
        ["--install"] => {
            header("cargo-deny");
            command::run(workspace.cargo().args(["install", "--locked", "cargo-deny"]))?;
        }
        _ => return Err(Problem::usage("`check` takes `--install`, `text` or nothing")),
    }
    let mut checks = Checks::default();
    check_text(workspace, &mut checks)?;
    checks.run("format", workspace.cargo().args(["fmt", "--all", "--check"]));
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    checks.run("lints", &mut clippy);
    check_clients(workspace, &mut checks);
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    checks.run("documentation", &mut doc);
    checks.result("reference pages", reference::check(workspace));
    if has_cargo_deny(workspace) {
        check_dependencies(workspace, &mut checks);
    } else {
        note("dependencies not checked: cargo-deny is not installed");
        note("`cargo xtask check --install` builds it in a few minutes");
    }
    checks.conclude()
}

fn check_text(workspace: &Workspace, checks: &mut Checks) -> Result<(), Problem> {
    let sources = text::read_sources(workspace.root())?;
    for (name, remedy, rule) in TEXT_CHECKS {
        checks.report(name, remedy, &rule(&sources));
    }
    Ok(())
}

/// Checks the Rust clients of `test interop`, each of which is a workspace of its own.
fn check_clients(workspace: &Workspace, checks: &mut Checks) {
    let manifest = workspace.root().join("e2e/interop/rust/Cargo.toml");
    let cargo = |subcommand| {
        let mut cargo = workspace.cargo();
        cargo
            .args([subcommand, "--manifest-path"])
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
    let deny = |arguments: &[&str]| {
        let mut deny = workspace.cargo();
        deny.args(["deny", "--workspace", "--locked", "check"]).args(arguments);
        deny
    };
    checks.run("dependencies", &mut deny(&["bans", "licenses", "sources"]));
    if let Err(problem) = command::run(workspace.cargo().args(["deny", "fetch", "db"])) {
        note(&format!("vulnerabilities not checked: {problem}"));
        return;
    }
    checks.run("vulnerabilities", &mut deny(&["--disable-fetch", "advisories"]));
}

/// Runs every check also after one failed, so that one run reports all problems.
#[derive(Default)]
struct Checks {
    failed: Vec<&'static str>,
}

impl Checks {
    fn run(&mut self, name: &'static str, command: &mut Command) {
        header(name);
        self.result(name, command::run(command));
    }

    fn result(&mut self, name: &'static str, result: Result<(), Problem>) {
        if let Err(problem) = result {
            note(&problem.to_string());
            self.failed.push(name);
        }
    }

    fn report(&mut self, name: &'static str, remedy: &str, findings: &[Finding]) {
        header(name);
        for finding in findings {
            println!("{finding}");
        }
        if !findings.is_empty() {
            note(&format!("{} lines; {remedy}", findings.len()));
            self.failed.push(name);
        }
    }

    fn conclude(self) -> Result<(), Problem> {
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(format!("failed checks: {}", self.failed.join(", "))))
        }
    }
}
