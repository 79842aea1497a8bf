//! Directory, state and store of the stack that a command works on.

use std::env;
use std::path::PathBuf;

use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{Engine, InstanceId};
use countersign_local::identities::Identities;
use countersign_local::state::{InstanceSelector, State};
use countersign_local::{Layout, LocalError};

/// Returns the absolute path of the given directory, or the default of root or of the user.
pub(super) fn directory(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |name: &str, below: &str| set(name).map(|home| home.join(below));
    let named = given.or_else(|| set("COUNTERSIGN_LOCAL_DIR"));
    let chosen = match named {
        Some(directory) => directory,
        None if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/countersign/local"),
        None => home("XDG_STATE_HOME", "countersign/local")
            .or_else(|| home("HOME", ".local/state/countersign/local"))
            .ok_or_else(|| {
                Failure::new(
                    Class::Configuration,
                    "cannot choose a directory: HOME is not set; pass --dir",
                )
            })?,
    };
    std::path::absolute(&chosen).map_err(|error| {
        Failure::new(Class::Configuration, format!("cannot resolve {}: {error}", chosen.display()))
    })
}

/// Returns the directory of unpacked servers: a cache, because every stack shares them.
pub(super) fn unpacked() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match set("COUNTERSIGN_SERVERS_DIR") {
        Some(directory) => directory,
        // Servers do not run as root, so they cannot enter root's home.
        None if rustix::process::geteuid().is_root() => {
            PathBuf::from("/var/cache/countersign/servers")
        }
        None => set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .unwrap_or_default()
            .join("countersign/servers"),
    }
}

pub(super) fn failure(error: &LocalError) -> Failure {
    Failure::new(error.class(), error.to_string())
}

/// Runs `work` with the identities of the running stack.
pub(super) fn with_identities<T>(
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    with_identities_of(State::read_running, layout, work)
}

/// Runs `work` with the identities and the store of the running stack.
pub(super) fn with_store<T>(
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State, &Store) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    let administer = || {
        let state = State::read_running(layout)?;
        let store = Store::open(&state_directory(&layout.authority()))?;
        work(&Identities::new(layout, &state, &store, &unpacked()), &state, &store)
    };
    administer().map_err(|error| failure(&error))
}

/// Runs `work` with the identities of the stack that `find` returns.
pub(super) fn with_identities_of<T>(
    find: impl FnOnce(&Layout) -> Result<State, LocalError>,
    layout: &Layout,
    work: impl FnOnce(&Identities<'_>, &State) -> Result<T, LocalError>,
) -> Result<T, Failure> {
    let administer = || {
        let state = find(layout)?;
        let store = Store::open(&state_directory(&layout.authority()))?;
        work(&Identities::new(layout, &state, &store, &unpacked()), &state)
    };
    administer().map_err(|error| failure(&error))
}

/// `--instance` and `--engine` of commands for one server.
#[derive(Debug, clap::Args)]
pub(super) struct InstanceArgument {
    /// Server [default: the first]
    #[arg(long, value_name = "NAME")]
    instance: Option<InstanceId>,
    /// First server of this engine: postgres, mariadb or mysql
    #[arg(long, value_name = "ENGINE", conflicts_with = "instance")]
    engine: Option<Engine>,
}

impl InstanceArgument {
    /// Returns the named server, otherwise the first one of `engines`, or of all if that is empty.
    pub(super) fn selector(&self, engines: &[Engine]) -> InstanceSelector {
        match (&self.instance, self.engine) {
            (Some(name), _) => InstanceSelector::Named(name.clone()),
            (None, Some(engine)) => InstanceSelector::Of(vec![engine]),
            (None, None) if engines.is_empty() => InstanceSelector::First,
            (None, None) => InstanceSelector::Of(engines.to_vec()),
        }
    }
}
