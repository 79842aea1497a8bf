//! `test`: the tests of the crates, the interop clients and the documentation.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{bold, header, note};
use crate::workspace::Workspace;
use crate::{command, interop, pages};

/// Programs that the tests use; tests that need a missing one are skipped.
const NEEDS: [Need; 6] =
    [Need::PostgreSql, Need::MariaDb, Need::Aws, Need::Mmdebstrap, Need::Faketime, Need::Valgrind];

/// Crates whose tests start no program of the workspace: the other crates need not be built.
const STANDALONE: [&str; 11] = [
    "authority",
    "aws-api",
    "config-file",
    "connect",
    "core",
    "proxy",
    "setup",
    "unix-socket",
    "verifier-client",
    "wire",
    "xtask",
];

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    match arguments {
        ["interop", clients @ ..] => interop::run(workspace, clients),
        ["docs", pages @ ..] => pages::run(workspace, pages),
        [] => run_everything(workspace),
        [name, ..] => {
            let lacking = setup::provide(workspace, &NEEDS);
            if !STANDALONE.contains(name) {
                setup::build(workspace)?;
                setup::install_servers(workspace);
            }
            run_tests(workspace, arguments, &lacking)
        }
    }
}

/// Runs every test, the interop clients and the documentation; reports all failures.
fn run_everything(workspace: &Workspace) -> Result<(), Problem> {
    let needs = [NEEDS.as_slice(), &interop::needs(), &pages::NEEDS].concat();
    let lacking = setup::provide(workspace, &needs);
    setup::build(workspace)?;
    setup::install_servers(workspace);
    let tests = run_tests(workspace, &[], &lacking);
    // Both wait for servers most of the time.
    let (pages, interop) = std::thread::scope(|scope| {
        let pages = scope.spawn(|| pages::attempt(workspace, &[]));
        let interop = interop::attempt(workspace, &[], &lacking);
        (pages.join(), interop)
    });
    let pages = pages.unwrap_or_else(|_| Err(Problem::new("the pages' thread panicked")));
    Problem::join([tests, interop, pages], "; ")
}

/// Runs `cargo test` for a crate, with a filter, or for the workspace.
fn run_tests(workspace: &Workspace, arguments: &[&str], lacking: &[Need]) -> Result<(), Problem> {
    header("test");
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--no-fail-fast"]).env("PATH", workspace.path());
    match arguments {
        [name, rest @ ..] => match package(workspace, name) {
            Some(package) => cargo.args(["--package", &package]).args(rest),
            None => cargo.arg("--workspace").args(arguments),
        },
        [] => cargo.arg("--workspace"),
    };
    let result = run_and_count(&mut cargo);
    for need in lacking.iter().filter(|need| NEEDS.contains(need)) {
        note(&format!("tests that need {} were skipped: it cannot be installed", need.name()));
    }
    result
}

/// Finds the package of a directory, such as `core` or `e2e`.
fn package(workspace: &Workspace, name: &str) -> Option<String> {
    let manifest = |directory: &str| workspace.root().join(directory).join(name).join("Cargo.toml");
    let manifest = ["crates", ""].into_iter().map(manifest).find(|manifest| manifest.is_file())?;
    let manifest = std::fs::read_to_string(manifest).ok()?;
    manifest
        .lines()
        .find_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()))
}

/// Passes on cargo's output and prints the total at the end.
fn run_and_count(cargo: &mut Command) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::new(format!("cannot run cargo test: {error}"));
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut sum = Sum::default();
    let mut out = std::io::stdout().lock();
    if let Some(pipe) = child.stdout.take() {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            out.write_all(&line).map_err(failed)?;
            sum.add(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    let status = child.wait().map_err(failed)?;
    writeln!(
        out,
        "{}",
        bold(&format!("{} passed, {} failed, {} ignored", sum.passed, sum.failed, sum.ignored))
    )
    .map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(Problem::new(format!("`{}` failed", command::line(cargo))))
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Adds the counts of a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            match count
                .trim()
                .split_once(' ')
                .map(|(number, result)| (number.parse().unwrap_or(0), result))
            {
                Some((number, "passed")) => self.passed += number,
                Some((number, "failed")) => self.failed += number,
                Some((number, "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn closing_lines_of_cargo_are_added_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.00s\n");
        sum.add("test result: FAILED. 23 passed; 2 failed; 0 ignored; 0 measured; finished\n");
        sum.add("test result::is::no_total ... ok\n");
        assert_eq!(sum, Sum { passed: 26, failed: 2, ignored: 1 });
    }
}
