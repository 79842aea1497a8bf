//! What the commands need beyond Rust: looked for, installed where it is missing, each with its reason.

use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use crate::{apt, command};

/// A program from outside that some command can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    PostgreSql,
    Aws,
    Mmdebstrap,
    Faketime,
    Cxx,
}

impl Need {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::Aws => "the AWS command line",
            Self::Mmdebstrap => "mmdebstrap",
            Self::Faketime => "faketime",
            Self::Cxx => "a C++ compiler",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::PostgreSql => "it is what logins are tried on",
            Self::Aws => "its tokens have to open and to fail like our own",
            Self::Mmdebstrap => "it unpacks newer servers beside the system's",
            Self::Faketime => "it dates a token back, so that nobody waits 15 minutes for one to expire",
            Self::Cxx => "libFuzzer is written in C++",
        }
    }

    fn is_met(self, workspace: &Workspace) -> bool {
        let path = workspace.path();
        let have = |name| command::find(name, &path).is_some();
        match self {
            Self::PostgreSql => have("psql") && (have("postgres") || has_debian_server()),
            Self::Aws => command::works(Command::new("aws").arg("--version").env("PATH", &path)),
            Self::Mmdebstrap => have("mmdebstrap"),
            Self::Faketime => have("faketime"),
            Self::Cxx => have("c++"),
        }
    }

    /// What Debian has to provide for it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::PostgreSql => &["postgresql"],
            Self::Aws if command::works(Command::new("python3").args(["-c", "import ensurepip, venv"])) => &[],
            Self::Aws => &["python3-venv"],
            Self::Mmdebstrap => &["mmdebstrap"],
            Self::Faketime => &["faketime"],
            Self::Cxx => &["g++"],
        }
    }
}

/// Debian keeps its servers off the path.
fn has_debian_server() -> bool {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/postgres").is_file())
}

/// Provides what is missing, and gives back what could not be had; that has been said then, with what to do about it.
pub(crate) fn provide(workspace: &Workspace, needs: &[Need]) -> Vec<Need> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met(workspace)).collect();
    if missing.is_empty() {
        return missing;
    }
    header("setting up");
    for need in &missing {
        note(&format!("{} is missing: {}.", need.name(), need.why()));
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    if !packages.is_empty() {
        tell(apt::install(&packages));
    }
    if missing.contains(&Need::Aws) && Need::Aws.packages().is_empty() {
        tell(install_aws(&workspace.aws_environment()));
    }
    missing.into_iter().filter(|need| !need.is_met(workspace)).collect()
}

/// As [`provide`], for a command that can't go on without.
pub(crate) fn require(workspace: &Workspace, needs: &[Need]) -> Result<(), Problem> {
    let lacking: Vec<&str> = provide(workspace, needs).into_iter().map(Need::name).collect();
    if lacking.is_empty() { Ok(()) } else { Err(Problem::new(format!("this can't go on without {}", lacking.join(" and ")))) }
}

/// One step that failed is no reason not to try the next.
fn tell(step: Result<(), Problem>) {
    if let Err(problem) = step {
        note(&problem.to_string());
    }
}

/// The real one, from PyPI, in an environment of its own.
fn install_aws(environment: &Path) -> Result<(), Problem> {
    header(&format!("pip install awscli, into {}", environment.display()));
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    command::run(Command::new(environment.join("bin/python")).args(["-m", "pip", "--disable-pip-version-check", "install", "awscli"]))
}
