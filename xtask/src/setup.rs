//! Programs that the commands need besides Rust: finds and installs them.

use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::terminal::{header, note};
use crate::workspace::Workspace;
use crate::{apt, command};

/// External program that a command needs.
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
            Self::MariaDbHeaders => "the C library of MariaDB with a compiler for Python modules",
            Self::Node => "Node.js with npm",
            Self::Java => "a JDK with Maven",
            Self::Go => "Go",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::PostgreSql => "tests log in to it",
            Self::Aws => "tests compare its tokens with ours",
            Self::Mmdebstrap => "it unpacks newer servers next to those of the system",
            Self::Faketime => "it creates tokens that have already expired",
            Self::Cxx => "libFuzzer is written in C++",
            Self::MariaDb => "tests log in to it",
            Self::Valgrind => "it checks the memory of the plugin inside a server",
            Self::PythonVenv | Self::Node | Self::Java | Self::Go => {
                "its drivers are tested to log in with a token"
            }
            Self::MariaDbHeaders => "mysqlclient is compiled against it",
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

    /// Debian packages that provide it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::PostgreSql => &["postgresql"],
            Self::Aws if python(MAKE_ENVIRONMENTS) => &[],
            Self::Aws | Self::PythonVenv => &["python3-venv"],
            Self::Mmdebstrap => &["mmdebstrap"],
            Self::Faketime => &["faketime"],
            Self::Cxx => &["g++"],
            // The package mariadb-server would start a server.
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

/// Python program that fails without the modules for virtual environments.
const MAKE_ENVIRONMENTS: &str = "import ensurepip, venv";

/// Python program that fails without Python's headers.
const FIND_PYTHON_H: &str =
    "import os, sysconfig; os.stat(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))";

fn python(program: &str) -> bool {
    command::works(Command::new("python3").args(["-c", program]))
}

/// Looks for a server where Debian installs it, outside the search path.
fn has_debian_server() -> bool {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/postgres").is_file())
}

/// Installs missing programs. Returns those that cannot be installed, after printing the reason.
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
    header("set-up");
    for need in &missing {
        note(&format!("{} not found; needed because {}", need.name(), need.why()));
    }
    let packages: Vec<&[&str]> = missing
        .iter()
        .map(|need| need.packages())
        .filter(|packages| !packages.is_empty())
        .collect();
    if !packages.is_empty() {
        report(apt::install(&packages));
    }
    if missing.contains(&Need::Aws) && Need::Aws.packages().is_empty() {
        report(install_aws(&workspace.aws_environment()));
    }
    missing.into_iter().filter(|need| !need.is_met(workspace)).collect()
}

/// As [`provide`], but fails if a program cannot be installed.
pub(crate) fn require(workspace: &Workspace, needs: &[Need]) -> Result<(), Problem> {
    let lacking: Vec<&str> = provide(workspace, needs).into_iter().map(Need::name).collect();
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(Problem::new(format!("cannot run without {}", lacking.join(" and "))))
    }
}

/// Reports a failed step; the next one may still succeed.
fn report(step: Result<(), Problem>) {
    if let Err(problem) = step {
        note(&problem.to_string());
    }
}

/// Installs the AWS CLI from PyPI into its own virtual environment.
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

/// Builds the programs that tests start along with the tests: apart from each other, the two
/// builds would select different features of dependencies and compile them twice.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Problem> {
    header("build");
    let arguments = ["build", "--workspace", "--lib", "--bins", "--tests", "--locked"];
    command::run(workspace.cargo().args(arguments))
}

/// Unpacks the servers that the system has no package for.
pub(crate) fn install_servers(workspace: &Workspace) {
    for engine in ["postgres:18", "mysql"] {
        header(&format!("{engine}, beside the system's servers"));
        let mut install = Command::new(workspace.binary("countersign"));
        if let Err(problem) = command::run(install.args(["local", "install", "--engine", engine])) {
            note(&format!("tests that need {engine} are skipped: {problem}"));
        }
    }
}
