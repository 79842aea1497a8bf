//! What the clients are started with: fetched by the package client of each language, and built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::setup::Need;
use crate::terminal::header;
use crate::workspace::Workspace;

/// Programs that are installed together.
pub(super) struct Kit {
    pub(super) name: &'static str,
    /// The directory of the sources.
    sources: &'static str,
    pub(super) needs: &'static [Need],
    language: Language,
    /// The release of the language that its drivers ask for, where Debian's may be older.
    least: Option<Least>,
}

struct Least {
    /// What says its own version.
    program: [&'static str; 2],
    version: (u32, u32),
}

const NODE_20: Least = Least { program: ["node", "--version"], version: (20, 0) };
const GO_1_24: Least = Least { program: ["go", "version"], version: (1, 24) };
const GO_1_25: Least = Least { program: ["go", "version"], version: (1, 25) };

#[derive(Clone, Copy)]
enum Language {
    /// Nothing but what the system has.
    Shell,
    /// The packages of this file.
    Python(&'static str),
    /// The packages of this directory.
    Node(&'static str),
    Java,
    /// The modules of this file, and what the program is called.
    Go(&'static str, &'static str),
    Rust,
}

/// The drivers of databases.
const DRIVERS: &str = "e2e/interop";

/// The clients of AWS.
const AWS: &str = "e2e/aws";

/// The names are those that the programs of `e2e/src/bin/interop` know.
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

/// The names are those that the programs of `e2e/src/bin/aws` know.
pub(super) const AWS_KITS: [Kit; 6] = [
    Kit::new("aws-shell", AWS, &[Need::Aws], Language::Shell),
    Kit::new("aws-python", AWS, &[Need::PythonVenv], Language::Python("python/requirements.txt")),
    Kit::new("aws-node", AWS, &[Need::Node], Language::Node("node")).with(NODE_20),
    Kit::new("aws-java", AWS, &[Need::Java], Language::Java),
    Kit::new("aws-go", AWS, &[Need::Go], Language::Go("go.mod", "client")).with(GO_1_25),
    Kit::new("aws-rust", AWS, &[], Language::Rust),
];

/// The one other implementation of AWS's API.
pub(super) const MOTO: Kit =
    Kit::new("moto", AWS, &[Need::PythonVenv], Language::Python("moto/requirements.txt"));

impl Kit {
    const fn new(
        name: &'static str,
        sources: &'static str,
        needs: &'static [Need],
        language: Language,
    ) -> Self {
        Self { name, sources, needs, language, least: None }
    }

    const fn with(self, least: Least) -> Self {
        Self { least: Some(least), ..self }
    }

    fn sources(&self, workspace: &Workspace) -> PathBuf {
        workspace.root().join(self.sources)
    }

    /// Gets the drivers into `directory`. Where that fails, its clients are skipped: the machine may be off the network.
    pub(super) fn fetch(&self, workspace: &Workspace, directory: &Path) -> Result<(), Problem> {
        self.least.as_ref().map_or(Ok(()), Least::check)?;
        let sources = self.sources(workspace);
        match self.language {
            Language::Shell => Ok(()),
            Language::Python(file) => {
                let requirements = sources.join(file);
                once(directory, &[&requirements], || {
                    header(&format!("pip install -r {}", requirements.display()));
                    command::run(
                        Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory),
                    )?;
                    let mut pip = Command::new(directory.join("bin/python"));
                    pip.args([
                        "-m",
                        "pip",
                        "--disable-pip-version-check",
                        "install",
                        "--quiet",
                        "-r",
                    ])
                    .arg(&requirements);
                    command::run(&mut pip)
                })
            }
            Language::Node(packages) => {
                let manifests = ["package.json", "package-lock.json"]
                    .map(|name| sources.join(packages).join(name));
                once(directory, &manifests.each_ref(), || {
                    header(&format!("npm ci, into {}", directory.display()));
                    copy(&manifests, directory)?;
                    command::run(
                        Command::new("npm")
                            .args(["ci", "--engine-strict", "--no-audit", "--no-fund"])
                            .current_dir(directory),
                    )
                })
            }
            Language::Java => {
                let pom = sources.join("java/pom.xml");
                once(directory, &[&pom], || {
                    header(&format!(
                        "mvn dependency:copy-dependencies, into {}",
                        directory.display()
                    ));
                    let mut mvn = Command::new("mvn");
                    mvn.args([
                        "-q",
                        "-B",
                        "-Dstyle.color=never",
                        "dependency:copy-dependencies",
                        "-f",
                    ])
                    .arg(&pom);
                    command::run(
                        mvn.arg(format!("-DoutputDirectory={}", directory.join("lib").display())),
                    )
                })
            }
            Language::Go(file, _) => {
                command::output(go(&sources, file).args(["list", "-deps"])).map(drop)
            }
            Language::Rust => command::run(rust(workspace, &sources, "fetch").arg("--quiet")),
        }
    }

    /// Builds this project's programs on top of them, which has to work.
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

impl Least {
    fn check(&self) -> Result<(), Problem> {
        let [program, argument] = self.program;
        let said = command::output(Command::new(program).arg(argument))?;
        let (major, minor) = self.version;
        match numbers(&said) {
            Some(found) if found < self.version => Err(Problem::new(format!(
                "it needs {program} {major}.{minor}, here is {}.{}",
                found.0, found.1
            ))),
            _ => Ok(()),
        }
    }
}

/// The first two numbers of a version, as in `v18.20.4` or `go version go1.19.8 linux/amd64`.
fn numbers(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said
        .get(said.find(|letter: char| letter.is_ascii_digit())?..)?
        .split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Does it in a new directory, unless it has been done with these very files.
fn once(
    directory: &Path,
    manifests: &[&PathBuf],
    install: impl FnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let stamp = directory.join("installed-from");
    let mut wanted = String::new();
    for manifest in manifests {
        wanted.push_str(&fs::read_to_string(manifest).map_err(|error| failed(manifest, &error))?);
    }
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| failed(directory, &error))?;
    }
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    install()?;
    fs::write(&stamp, wanted).map_err(|error| failed(&stamp, &error))
}

/// Go as it is installed: a newer one is not downloaded behind the back.
fn go(sources: &Path, modules: &str) -> Command {
    let mut go = Command::new("go");
    go.current_dir(sources.join("go"))
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", format!("-modfile={modules} -buildvcs=false"));
    go
}

/// Cargo on the package that is no member of the workspace, in the target directory that all share.
fn rust(workspace: &Workspace, sources: &Path, what: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([what, "--locked", "--manifest-path"]).arg(sources.join("rust/Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", workspace.target());
    cargo
}

fn copy(files: &[PathBuf], directory: &Path) -> Result<(), Problem> {
    files.iter().try_for_each(|file| {
        let name = file.file_name().unwrap_or_default();
        fs::copy(file, directory.join(name)).map(drop).map_err(|error| failed(file, &error))
    })
}

/// The files of a directory with this extension.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(directory).map_err(|error| failed(directory, &error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
