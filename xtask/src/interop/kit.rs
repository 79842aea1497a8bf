//! Kits of client programs: fetched by the package manager of each language, and built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::setup::Need;
use crate::terminal::header;
use crate::workspace::Workspace;

/// Client programs that are installed together.
pub(super) struct Kit {
    pub(super) name: &'static str,
    /// Directory of the sources.
    sources: &'static str,
    pub(super) needs: &'static [Need],
    language: Language,
    /// Minimum release of the language, if Debian's may be older.
    min_version: Option<MinVersion>,
}

struct MinVersion {
    /// Command that prints the version.
    program: [&'static str; 2],
    version: (u32, u32),
}

const NODE_20: MinVersion = MinVersion { program: ["node", "--version"], version: (20, 0) };
const GO_1_24: MinVersion = MinVersion { program: ["go", "version"], version: (1, 24) };
const GO_1_25: MinVersion = MinVersion { program: ["go", "version"], version: (1, 25) };

#[derive(Clone, Copy)]
enum Language {
    /// Programs of the system only.
    Shell,
    /// Requirements file.
    Python(&'static str),
    /// Directory of the package files.
    Node(&'static str),
    Java,
    /// Module file, and name of the program.
    Go(&'static str, &'static str),
    Rust,
}

/// Sources of the database drivers.
const DRIVERS: &str = "e2e/interop";

/// Sources of the AWS clients.
const AWS: &str = "e2e/aws";

/// Kits of the database drivers by their names in `e2e/src/bin/interop`.
pub(super) const KITS: [Kit; 8] = [
    Kit::new("python", DRIVERS, &[Need::PythonVenv], Language::Python("python/requirements.txt")),
    Kit::new(
        "mysqlclient",
        DRIVERS,
        &[Need::PythonVenv, Need::MariaDbHeaders],
        Language::Python("python/requirements-mysqlclient.txt"),
    ),
    Kit::new("node", DRIVERS, &[Need::Node], Language::Node("node")),
    Kit::new("node-20", DRIVERS, &[Need::Node], Language::Node("node-20")).with(NODE_20),
    Kit::new("java", DRIVERS, &[Need::Java], Language::Java),
    Kit::new("go", DRIVERS, &[Need::Go], Language::Go("go.mod", "login")).with(GO_1_24),
    Kit::new("old-go", DRIVERS, &[Need::Go], Language::Go("old.mod", "login")),
    Kit::new("rust", DRIVERS, &[], Language::Rust),
];

/// Kits of the AWS clients by their names in `e2e/src/bin/aws`.
pub(super) const AWS_KITS: [Kit; 6] = [
    Kit::new("aws-shell", AWS, &[Need::Aws], Language::Shell),
    Kit::new("aws-python", AWS, &[Need::PythonVenv], Language::Python("python/requirements.txt")),
    Kit::new("aws-node", AWS, &[Need::Node], Language::Node("node")).with(NODE_20),
    Kit::new("aws-java", AWS, &[Need::Java], Language::Java),
    Kit::new("aws-go", AWS, &[Need::Go], Language::Go("go.mod", "client")).with(GO_1_25),
    Kit::new("aws-rust", AWS, &[], Language::Rust),
];

/// Kit of moto, another implementation of AWS's API.
pub(super) const MOTO: Kit =
    Kit::new("moto", AWS, &[Need::PythonVenv], Language::Python("moto/requirements.txt"));

impl Kit {
    const fn new(
        name: &'static str,
        sources: &'static str,
        needs: &'static [Need],
        language: Language,
    ) -> Self {
        Self { name, sources, needs, language, min_version: None }
    }

    const fn with(self, version: MinVersion) -> Self {
        Self { min_version: Some(version), ..self }
    }

    fn sources(&self, workspace: &Workspace) -> PathBuf {
        workspace.root().join(self.sources)
    }

    /// Fetches the packages into `directory`. If that fails, the clients are skipped.
    pub(super) fn fetch(&self, workspace: &Workspace, directory: &Path) -> Result<(), Problem> {
        self.min_version.as_ref().map_or(Ok(()), MinVersion::check)?;
        let sources = self.sources(workspace);
        match self.language {
            Language::Shell => Ok(()),
            Language::Python(file) => fetch_python(&sources.join(file), directory),
            Language::Node(packages) => fetch_node(&sources.join(packages), directory),
            Language::Java => fetch_java(&sources.join("java/pom.xml"), directory),
            Language::Go(file, _) => {
                command::output(go(&sources, file).args(["list", "-deps"])).map(drop)
            }
            Language::Rust => command::run(rust(workspace, &sources, "fetch").arg("--quiet")),
        }
    }

    /// Builds this project's programs against the fetched packages. Failure fails the test.
    pub(super) fn build(&self, workspace: &Workspace, directory: &Path) -> Result<(), Problem> {
        let sources = self.sources(workspace);
        match self.language {
            Language::Shell | Language::Python(_) => Ok(()),
            Language::Node(_) => copy(&files(&sources.join("node"), "mjs")?, directory),
            Language::Java => {
                header("javac");
                let mut javac = Command::new("javac");
                javac
                    .arg("-cp")
                    .arg(directory.join("lib/*"))
                    .arg("-d")
                    .arg(directory.join("classes"))
                    .args(files(&sources.join("java"), "java")?);
                command::run(&mut javac)
            }
            Language::Go(file, program) => {
                header(&format!("go build -modfile={file}, of {}", self.sources));
                command::run(
                    go(&sources, file).args(["build", "-o"]).arg(directory.join(program)).arg("."),
                )
            }
            Language::Rust => {
                header(&format!("cargo build, of {}/rust", self.sources));
                command::run(rust(workspace, &sources, "build").arg("--bins"))
            }
        }
    }
}

fn fetch_python(requirements: &PathBuf, directory: &Path) -> Result<(), Problem> {
    once(directory, &[requirements], || {
        header(&format!("pip install -r {}", requirements.display()));
        command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory))?;
        let mut pip = Command::new(directory.join("bin/python"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"]);
        command::run(pip.arg(requirements))
    })
}

fn fetch_node(packages: &Path, directory: &Path) -> Result<(), Problem> {
    let manifests = ["package.json", "package-lock.json"].map(|name| packages.join(name));
    once(directory, &manifests.each_ref(), || {
        header(&format!("npm ci, into {}", directory.display()));
        copy(&manifests, directory)?;
        let mut npm = Command::new("npm");
        npm.args(["ci", "--engine-strict", "--no-audit", "--no-fund"]).current_dir(directory);
        command::run(&mut npm)
    })
}

fn fetch_java(pom: &PathBuf, directory: &Path) -> Result<(), Problem> {
    once(directory, &[pom], || {
        header(&format!("mvn dependency:copy-dependencies, into {}", directory.display()));
        let mut mvn = Command::new("mvn");
        mvn.args(["-q", "-B", "-Dstyle.color=never", "dependency:copy-dependencies", "-f"]);
        mvn.arg(pom).arg(format!("-DoutputDirectory={}", directory.join("lib").display()));
        command::run(&mut mvn)
    })
}

impl MinVersion {
    fn check(&self) -> Result<(), Problem> {
        let [program, argument] = self.program;
        let version = command::output(Command::new(program).arg(argument))?;
        let (major, minor) = self.version;
        match numbers(&version) {
            Some(found) if found < self.version => Err(Problem::new(format!(
                "{program} {major}.{minor} is required, {}.{} is installed",
                found.0, found.1
            ))),
            _ => Ok(()),
        }
    }
}

/// Reads the first two numbers of a version, as in `v18.20.4` or `go version go1.19.8 linux`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version
        .get(version.find(|letter: char| letter.is_ascii_digit())?..)?
        .split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Runs `install` in a new directory, unless it ran with the same manifests before.
fn once(
    directory: &Path,
    manifests: &[&PathBuf],
    install: impl FnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let stamp = directory.join("installed-from");
    let mut wanted = String::new();
    for manifest in manifests {
        wanted.push_str(
            &fs::read_to_string(manifest).map_err(|error| Problem::io(manifest, &error))?,
        );
    }
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| Problem::io(directory, &error))?;
    }
    fs::create_dir_all(directory).map_err(|error| Problem::io(directory, &error))?;
    install()?;
    fs::write(&stamp, wanted).map_err(|error| Problem::io(&stamp, &error))
}

/// Command line of the installed Go, which is kept from downloading a newer one.
fn go(sources: &Path, modules: &str) -> Command {
    let mut go = Command::new("go");
    go.current_dir(sources.join("go"))
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", format!("-modfile={modules} -buildvcs=false"));
    go
}

/// Command line of cargo for a package outside the workspace, with the shared target directory.
fn rust(workspace: &Workspace, sources: &Path, subcommand: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([subcommand, "--locked", "--manifest-path"]).arg(sources.join("rust/Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", workspace.target());
    cargo
}

fn copy(files: &[PathBuf], directory: &Path) -> Result<(), Problem> {
    files.iter().try_for_each(|file| {
        let name = file.file_name().unwrap_or_default();
        fs::copy(file, directory.join(name)).map(drop).map_err(|error| Problem::io(file, &error))
    })
}

/// Lists the files of a directory that have this extension.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(directory).map_err(|error| Problem::io(directory, &error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        assert_eq!(numbers("v18.20.4"), Some((18, 20)));
        assert_eq!(numbers("go version go1.19.8 linux/amd64"), Some((1, 19)));
        assert_eq!(numbers("go version devel"), None);
    }
}
