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
    MariaDb,
    Valgrind,
    PythonVenv,
    MariaDbHeaders,
    Node,
    Java,
    Go,
}

impl Need {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::Aws => "the AWS command line",
            Self::Mmdebstrap => "mmdebstrap",
            Self::Faketime => "faketime",
            Self::Cxx => "a C++ compiler",
            Self::MariaDb => "MariaDB",
            Self::Valgrind => "valgrind",
            Self::PythonVenv => "python3-venv",
            Self::MariaDbHeaders => "MariaDB's C library, or what compiles Python modules for it,",
            Self::Node => "Node.js with npm",
            Self::Java => "a JDK with Maven",
            Self::Go => "Go",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::PostgreSql => "it is what logins are tried on",
            Self::Aws => "its tokens have to open and to fail like our own",
            Self::Mmdebstrap => "it unpacks newer servers beside the system's",
            Self::Faketime => {
                "it dates a token back, so that nobody waits 15 minutes for one to expire"
            }
            Self::Cxx => "libFuzzer is written in C++",
            Self::MariaDb => "it is what logins are tried on",
            Self::Valgrind => "it watches the plugin's memory inside a real server",
            Self::PythonVenv | Self::Node | Self::Java | Self::Go => {
                "its drivers have to log in with a token"
            }
            Self::MariaDbHeaders => {
                "mysqlclient, which has to log in with a token, is compiled against it"
            }
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
            Self::MariaDb => {
                have("mariadb") && (have("mariadbd") || Path::new("/usr/sbin/mariadbd").is_file())
            }
            Self::Valgrind => have("valgrind"),
            Self::PythonVenv => python(MAKE_ENVIRONMENTS),
            Self::MariaDbHeaders => {
                ["mariadb_config", "pkg-config", "cc"].into_iter().all(have)
                    && python(FIND_PYTHON_H)
            }
            Self::Node => have("node") && have("npm"),
            Self::Java => have("javac") && have("mvn"),
            Self::Go => have("go"),
        }
    }

    /// What Debian has to provide for it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::PostgreSql => &["postgresql"],
            Self::Aws if python(MAKE_ENVIRONMENTS) => &[],
            Self::Aws | Self::PythonVenv => &["python3-venv"],
            Self::Mmdebstrap => &["mmdebstrap"],
            Self::Faketime => &["faketime"],
            Self::Cxx => &["g++"],
            // The whole of mariadb-server would start one.
            Self::MariaDb => &["mariadb-server-core", "mariadb-client-core"],
            Self::Valgrind => &["valgrind"],
            Self::MariaDbHeaders => {
                &["libmariadb-dev", "pkg-config", "gcc", "libc6-dev", "python3-dev"]
            }
            Self::Node => &["nodejs", "npm"],
            Self::Java => &["default-jdk-headless", "maven"],
            Self::Go => &["golang-go"],
        }
    }
}

/// What Python needs to make a virtual environment.
const MAKE_ENVIRONMENTS: &str = "import ensurepip, venv";

/// Fails where Python's headers are not installed.
const FIND_PYTHON_H: &str =
    "import os, sysconfig; os.stat(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))";

fn python(program: &str) -> bool {
    command::works(Command::new("python3").args(["-c", program]))
}

/// Debian keeps its servers off the path.
fn has_debian_server() -> bool {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/postgres").is_file())
}

/// Provides what is missing, and gives back what could not be had; that has been said then, with what to do about it.
pub(crate) fn provide(workspace: &Workspace, needs: &[Need]) -> Vec<Need> {
    let mut missing: Vec<Need> = Vec::new();
    for need in needs {
        if !missing.contains(need) && !need.is_met(workspace) {
            missing.push(*need);
        }
    }
    if missing.is_empty() {
        return missing;
    }
    header("setting up");
    for need in &missing {
        note(&format!("{} is missing: {}.", need.name(), need.why()));
    }
    let packages: Vec<&[&str]> = missing
        .iter()
        .map(|need| need.packages())
        .filter(|packages| !packages.is_empty())
        .collect();
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
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(Problem::new(format!("this can't go on without {}", lacking.join(" and "))))
    }
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
    command::run(Command::new(environment.join("bin/python")).args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "awscli",
    ]))
}
