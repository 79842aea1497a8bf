//! Unpacking a server that the system's release lacks, beside the system: nothing that is there is changed.

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

/// Held by who unpacks.
const LOCK: &str = "lock";

/// Unpacks a server from Debian's newest suite, beside the system and beside other versions; PostgreSQL has to be named with
/// its version, of the others the suite has one. Needs `mmdebstrap` and an apt that knows a Debian mirror.
///
/// # Errors
/// [`LocalError::Program`], with what the program said; [`LocalError::Unusable`] where the suite has another version.
pub fn install(
    engine: Engine,
    wanted: Option<Version>,
    unpacked: &Path,
) -> Result<Installation, LocalError> {
    let partial = unpacked.join(PARTIAL);
    fs::create_dir_all(unpacked).map_err(at(unpacked))?;
    // One at a time, whatever stack it is for. Who waited finds what the other has unpacked.
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
    // The newest suite's signature can be older than apt likes when the mirror lags behind.
    let options = [
        "--variant=extract",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",
        &packages,
        "sid",
        &partial_text,
        &mirror,
    ];
    // It holds the lock as well: it may outlive this process.
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

/// What mmdebstrap is to unpack.
fn packages(engine: Engine, wanted: Option<Version>) -> Result<String, LocalError> {
    match (engine, wanted) {
        (Engine::Postgres, Some(version)) => {
            Ok(format!("--include=postgresql-{version},postgresql-client-{version}"))
        }
        (Engine::Postgres, None) => Err(LocalError::Unusable(
            "name the version of PostgreSQL, as in postgres:18".to_owned(),
        )),
        (Engine::Mariadb, _) => Ok("--include=mariadb-server-core,mariadb-client-core".to_owned()),
        (Engine::Mysql, _) => Ok("--include=mysql-server-core,mysql-client-core".to_owned()),
    }
}

/// Makes what was unpacked fit to be run, and moves it to where it stays.
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
    let said = run(
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
        Engine::Mariadb | Engine::Mysql => series(engine, &said),
    };
    let version = version.ok_or_else(|| {
        LocalError::Unusable(format!("{} says that it is {}", server.display(), said.trim()))
    })?;
    if wanted.is_some_and(|wanted| !wanted.covers(version)) {
        let product = engine.product();
        return Err(LocalError::Unusable(format!(
            "Debian's newest suite has {product} {version}: ask for that, or for none in particular"
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

/// The programs that are run, as far as they are there.
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

/// Puts a script in the place of a program, which runs it with the C library that it was built for: the system's is older.
/// `--argv0` lets PostgreSQL find its own files from where the script lies.
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

/// The dynamic loader below `root`, and the directory of its libraries.
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
        LocalError::Unusable(format!("there is no dynamic loader in {}", root.display()))
    })
}

/// The Debian mirror that this machine's apt uses.
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
            "apt knows no mirror of Debian here: run `apt-get update`, or use another system"
                .to_owned(),
        )
    })
}
