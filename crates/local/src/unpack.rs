//! Unpacks a server that the system's release lacks, beside the system, which stays unchanged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::name::Engine;
use rustix::fs::{FlockOperation, flock};

use crate::error::at;
use crate::installation::{Installation, PARTIAL, POSTGRES, installed, series, server_program};
use crate::program::{run, run_holding};
use crate::{LocalError, Version};

/// Name of the lock file that serializes unpacking.
const LOCK: &str = "lock";

/// Unpacks a server from Debian's newest suite, beside the system and other versions.
///
/// PostgreSQL needs a version; the suite has one version of the other engines. Needs `mmdebstrap`
/// and an apt that is configured with a Debian mirror.
///
/// # Errors
/// [`LocalError::Program`] with the program's output; [`LocalError::Unusable`] if the suite has
/// another version.
pub fn install(
    engine: Engine,
    wanted: Option<Version>,
    unpacked: &Path,
) -> Result<Installation, LocalError> {
    let partial = unpacked.join(PARTIAL);
    fs::create_dir_all(unpacked).map_err(at(unpacked))?;
    // One process unpacks at a time. A process that waited finds what the other one unpacked.
    let path = unpacked.join(LOCK);
    let lock =
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(at(&path))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| at(&path)(error.into()))?;
    if let Ok(found) = Installation::find(engine, wanted, unpacked) {
        return Ok(found);
    }
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    let packages = packages(engine, wanted)?;
    let mirror = format!("deb {} sid main", debian_mirror()?);
    let partial_text = partial.display().to_string();
    // The suite's signature can be older than apt accepts when a mirror lags behind.
    let options = [
        "--variant=extract",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",
        &packages,
        "sid",
        &partial_text,
        &mirror,
    ];
    // mmdebstrap inherits the lock, because it may outlive this process.
    let held = lock.try_clone().map_err(at(&path))?;
    run_holding(
        Command::new("mmdebstrap").args(options),
        held,
        &format!("mmdebstrap (to unpack {})", engine.product()),
    )?;
    let root = finish(engine, wanted, &partial, unpacked)?;
    Installation::find(
        engine,
        installed(engine, &root).first().map(|installation| installation.version),
        unpacked,
    )
}

/// Returns the package option of mmdebstrap.
fn packages(engine: Engine, wanted: Option<Version>) -> Result<String, LocalError> {
    match (engine, wanted) {
        (Engine::Postgres, Some(version)) => {
            Ok(format!("--include=postgresql-{version},postgresql-client-{version}"))
        }
        (Engine::Postgres, None) => Err(LocalError::Unusable(
            "cannot install PostgreSQL without a version: name it, as in postgres:18".to_owned(),
        )),
        (Engine::Mariadb, _) => Ok("--include=mariadb-server-core,mariadb-client-core".to_owned()),
        (Engine::Mysql, _) => Ok("--include=mysql-server-core,mysql-client-core".to_owned()),
    }
}

/// Makes the unpacked programs runnable, and moves them to their final directory.
fn finish(
    engine: Engine,
    wanted: Option<Version>,
    partial: &Path,
    unpacked: &Path,
) -> Result<PathBuf, LocalError> {
    let (loader, libraries) = loader(partial)?;
    let directory = match (engine, wanted) {
        (Engine::Postgres, Some(version)) => {
            partial.join(POSTGRES).join(version.to_string()).join("bin")
        }
        _ => partial.join("usr/sbin"),
    };
    let server = directory.join(server_program(engine));
    let output = run(
        Command::new(&loader)
            .arg("--library-path")
            .arg(&libraries)
            .arg(&server)
            .arg("--version")
            .env_clear(),
        &format!("{} --version", server.display()),
    )?;
    let version = match engine {
        Engine::Postgres => wanted,
        Engine::Mariadb | Engine::Mysql => series(engine, &output),
    };
    let version = version.ok_or_else(|| {
        LocalError::Unusable(format!(
            "cannot read the version of {}: it prints {}",
            server.display(),
            output.trim()
        ))
    })?;
    if wanted.is_some_and(|wanted| !wanted.covers(version)) {
        let product = engine.product();
        return Err(LocalError::Unusable(format!(
            "cannot install the requested version: Debian's newest suite has {product} {version}; \
             request that, or no version"
        )));
    }
    let root = unpacked.join(format!("{engine}-{version}"));
    for program in programs(engine, &directory, partial) {
        wrap(&program, partial, &root)?;
    }
    if root.exists() {
        fs::remove_dir_all(&root).map_err(at(&root))?;
    }
    fs::rename(partial, &root).map_err(at(&root))?;
    Ok(root)
}

/// Returns the programs that the stack runs, if they exist.
fn programs(engine: Engine, directory: &Path, root: &Path) -> Vec<PathBuf> {
    let (below, names): (PathBuf, &[&str]) = match engine {
        Engine::Postgres => (
            directory.to_owned(),
            &["initdb", "pg_ctl", "postgres", "psql", "pg_basebackup", "pg_controldata", "pg_dump"],
        ),
        Engine::Mariadb => (
            root.join("usr/bin"),
            &["mariadb", "mariadb-admin", "mariadb-dump", "my_print_defaults", "resolveip"],
        ),
        Engine::Mysql => (root.join("usr/bin"), &["mysql", "mysqladmin", "mysqldump"]),
    };
    let server = directory.join(server_program(engine));
    let mut programs: Vec<PathBuf> = names
        .iter()
        .map(|name| below.join(name))
        .chain([server])
        .filter(|path| path.is_file())
        .collect();
    programs.sort();
    programs.dedup();
    programs
}

/// Replaces a program by a script that runs it with the C library that it was built for.
///
/// The system's C library is older. `--argv0` lets PostgreSQL find its files from the script's
/// path.
fn wrap(program: &Path, unpacked: &Path, root: &Path) -> Result<(), LocalError> {
    let real = program.with_extension("real");
    fs::rename(program, &real).map_err(at(program))?;
    let moved = |path: &Path| {
        path.strip_prefix(unpacked).map_or_else(|_| path.to_owned(), |below| root.join(below))
    };
    let (loader, libraries) = loader(unpacked)?;
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' --argv0 '{}' '{}' \"$@\"\n",
        moved(&loader).display(),
        moved(&libraries).display(),
        moved(program).display(),
        moved(&real).display()
    );
    fs::write(program, script).map_err(at(program))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).map_err(at(program))
}

/// Returns the dynamic loader below `root`, and the directory of its libraries.
fn loader(root: &Path) -> Result<(PathBuf, PathBuf), LocalError> {
    let libraries = root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let found =
        fs::read_dir(&libraries).map_err(at(&libraries))?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("ld-linux-"))
    };
    let loader = found.filter(named).min();
    loader.map(|loader| (loader, libraries)).ok_or_else(|| {
        LocalError::Unusable(format!("cannot find a dynamic loader in {}", root.display()))
    })
}

/// Returns the Debian mirror that apt uses.
fn debian_mirror() -> Result<String, LocalError> {
    let targets = run(
        Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]),
        "apt-get indextargets",
    )?;
    let mut mirrors = targets
        .lines()
        .filter_map(|line| line.strip_prefix("Debian "))
        .filter(|uri| !uri.contains("security"));
    mirrors.next().map(str::to_owned).ok_or_else(|| {
        LocalError::Unusable(
            "cannot find a Debian mirror in apt's sources: run `apt-get update`, or use Debian"
                .to_owned(),
        )
    })
}
