//! `fuzz`: libFuzzer with stable Rust.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::header;
use crate::workspace::Workspace;

/// Flags that cargo-fuzz passes to rustc, without the sanitizer, which needs nightly.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";

/// Settings of the release profile; link-time optimisation would drop the coverage counters.
const PROFILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
];

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let (name, seconds) = match arguments {
        [] => (None, "60"),
        ["--seconds", seconds] => (None, *seconds),
        [name] => (Some(*name), "60"),
        [name, "--seconds", seconds] => (Some(*name), *seconds),
        _ => return Err(Problem::usage("`fuzz` takes a target and `--seconds N`")),
    };
    if seconds.parse::<u32>().is_err() {
        return Err(Problem::usage(&format!("invalid number of seconds {seconds:?}")));
    }
    let all = targets(&workspace.root().join("fuzz/fuzz_targets"))?;
    if let Some(unknown) = name.filter(|name| all.iter().all(|target| target != name)) {
        return Err(Problem::new(format!(
            "unknown fuzz target {unknown:?}; targets: {}",
            all.join(", ")
        )));
    }
    setup::require(workspace, &[Need::Cxx])?;

    header("build");
    // With an explicit target, RUSTFLAGS do not apply to build scripts and procedural macros.
    let triple = host(workspace)?;
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "countersign-fuzz",
        "--bins",
        "--target",
        &triple,
        "--target-dir",
    ]);
    command::run(
        build.arg(workspace.target().join("fuzz")).env("RUSTFLAGS", RUSTFLAGS).envs(PROFILE),
    )?;

    let programs = workspace.target().join("fuzz").join(triple).join("release");
    for target in all.iter().filter(|target| name.is_none_or(|name| name == **target)) {
        header(&format!("fuzz {target} for {seconds} s"));
        fuzz(&workspace.root().join("fuzz"), &programs.join(target), target, seconds)?;
    }
    Ok(())
}

/// Runs one target. New inputs go to `corpus/`, failing ones to `artifacts/`; seeds are only read.
fn fuzz(directory: &Path, program: &Path, target: &str, seconds: &str) -> Result<(), Problem> {
    let make = |path: PathBuf| match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err(Problem::new(format!("cannot create {}: {error}", path.display()))),
    };
    let corpus = make(directory.join("corpus").join(target))?;
    let artifacts = make(directory.join("artifacts").join(target))?;
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    run_quietly(fuzzer.arg(corpus).arg(directory.join("seeds").join(target))).map_err(|problem| {
        Problem::new(format!(
            "{problem}\nThe input is in {}. Reproduce: `cargo run --package countersign-fuzz \
             --bin {target} FILE`; after the fix, keep it as fuzz/seeds/{target}/NAME.",
            artifacts.display()
        ))
    })
}

/// Runs a fuzzer, and hides the lines about new inputs and the dictionary.
fn run_quietly(fuzzer: &mut Command) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::new(format!("cannot run the fuzzer: {error}"));
    let mut child = fuzzer.stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(pipe) = child.stderr.take() {
        for line in BufReader::new(pipe).split(b'\n') {
            let line = line.map_err(failed)?;
            let line = String::from_utf8_lossy(&line);
            if !line.contains("\tNEW ")
                && !line.contains("\tREDUCE ")
                && !line.contains("\" # Uses: ")
            {
                eprintln!("{line}");
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(Problem::new(format!("`{}` failed with {status}", command::line(fuzzer))))
    }
}

/// Returns the names of the targets in alphabetical order.
fn targets(directory: &Path) -> Result<Vec<String>, Problem> {
    let entries = fs::read_dir(directory)
        .map_err(|error| Problem::new(format!("{}: {error}", directory.display())))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Returns the target triple of this machine.
fn host(workspace: &Workspace) -> Result<String, Problem> {
    let version = command::output(workspace.cargo().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Problem::new("cannot read the host triple from `cargo -vV`"))
}
