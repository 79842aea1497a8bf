//! `--store`: location of the authority's state.

use std::env;
use std::path::PathBuf;

use countersign_authority::store::{PostgresLocation, Store, StoreLocation};
use countersign_aws_api::server::state_directory;
use countersign_core::credentials::Secret;
use countersign_core::failure::{Class, Failure};

use crate::process::io_failure;

/// `--store`.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgument {
    /// State of the authority: a directory, or postgres://USER@HOST/DATABASE with the password in
    /// PGPASSWORD [default: /var/lib/countersign/authority for root, else
    /// ~/.local/state/countersign/authority]
    #[arg(long, value_name = "DIR|URL", env = "COUNTERSIGN_STORE")]
    store: Option<StoreLocation>,
}

impl StoreArgument {
    /// Returns the given location, or the default directory. Files other than the state always lie
    /// in a directory.
    pub(super) fn location(&self) -> Result<StateLocation, Failure> {
        match &self.store {
            Some(StoreLocation::Postgres(location)) => {
                let password = env::var("PGPASSWORD").ok().and_then(Secret::new);
                let location = PostgresLocation { password, ..PostgresLocation::clone(location) };
                Ok(StateLocation {
                    store: StoreLocation::Postgres(Box::new(location)),
                    directory: default_directory()?,
                })
            }
            Some(StoreLocation::Directory(directory)) => {
                StateLocation::in_directory(directory.clone())
            }
            None => StateLocation::in_directory(default_directory()?),
        }
    }

    /// Opens the store. Creates it if `create` is true.
    pub(super) fn open(&self, create: bool) -> Result<Store, Failure> {
        let location = self.location()?;
        if let (false, StoreLocation::Directory(state)) = (create, &location.store)
            && !state.is_dir()
        {
            let detail = format!(
                "cannot find a state in {}: name its directory with --store",
                location.directory.display()
            );
            return Err(Failure::new(Class::Configuration, detail));
        }
        Store::open_at(&location.store)
            .map_err(|error| Failure::new(Class::Configuration, error.to_string()))
    }
}

/// Location of the state, and directory of all other files.
pub(super) struct StateLocation {
    pub(super) store: StoreLocation,
    pub(super) directory: PathBuf,
}

impl StateLocation {
    fn in_directory(directory: PathBuf) -> Result<Self, Failure> {
        let directory = std::path::absolute(&directory)
            .map_err(|error| io_failure(&directory.display().to_string(), &error))?;
        Ok(Self { store: StoreLocation::Directory(state_directory(&directory)), directory })
    }
}

fn default_directory() -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/countersign/authority"));
    }
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let directory = state.map(|state| state.join("countersign/authority"));
    directory.ok_or_else(|| {
        Failure::new(
            Class::Configuration,
            "cannot choose a directory: HOME is not set; pass --store",
        )
    })
}
