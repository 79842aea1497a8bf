//! `docs`: reference pages that the program generates from its own tables.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::terminal::header;
use crate::workspace::Workspace;
use crate::{command, setup};

/// Directory of the reference pages.
const DIRECTORY: &str = "docs/reference";

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let directory = workspace.root().join(DIRECTORY);
    match arguments {
        [] => generate(workspace, &directory),
        ["--check"] => check(workspace),
        _ => Err(Problem::usage("`docs` takes `--check` or nothing")),
    }
}

/// Fails if a generated page differs from the one in the repository.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Problem> {
    let generated = workspace.target().join("reference");
    fs::create_dir_all(&generated).map_err(|error| Problem::io(&generated, &error))?;
    generate(workspace, &generated)?;
    let mut outdated = Vec::new();
    for entry in fs::read_dir(&generated).map_err(|error| Problem::io(&generated, &error))? {
        let new = entry.map_err(|error| Problem::io(&generated, &error))?.path();
        let name = Path::new(DIRECTORY).join(new.file_name().unwrap_or_default());
        let committed = workspace.root().join(&name);
        let page = fs::read(&new).map_err(|error| Problem::io(&new, &error))?;
        if fs::read(&committed).ok() != Some(page) {
            // The first lines that differ; `diff` itself fails because the files differ.
            let mut diff = Command::new("diff");
            diff.arg("-u").arg(&committed).arg(&new);
            if let Ok(output) = command::attempt(&mut diff) {
                let difference = command::text(&output.stdout);
                difference.lines().take(20).for_each(|line| println!("{line}"));
            }
            outdated.push(name.display().to_string());
        }
    }
    if outdated.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!("{} differ: run `cargo xtask docs`", outdated.join(", "))))
}

fn generate(workspace: &Workspace, directory: &Path) -> Result<(), Problem> {
    setup::build(workspace)?;
    header("reference pages");
    let mut program = Command::new(workspace.binary("countersign"));
    command::run(program.arg("reference").arg(directory))
}
