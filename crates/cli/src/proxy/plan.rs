//! Resolution of flags, environment and configuration file into the [`Settings`] of a proxy and its
//! [`Operation`].

mod environment;
mod errors;
mod listeners;
mod operation;
mod selection;
mod target;

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_config_file::DiagnosticSink;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::settings::{Settings, TargetSettings};

use super::config::{self, ConfigContext, TargetConfig};
use super::options::{Options, Request};

use environment::Environment;
use errors::SkippedTarget;
use listeners::ListenerAllocator;
pub(crate) use operation::{
    AdminSocket, HTTP_PORT, LogSettings, Operation, ShutdownSettings, default_admin_socket,
};
use target::TargetResolver;

/// Default timeout of a client's login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Effective configuration of a proxy.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) operation: Operation,
    /// Files that the configuration was read from, including certificates.
    pub(crate) files: Vec<PathBuf>,
    /// Errors of skipped targets.
    pub(crate) skipped: Vec<String>,
}

impl Plan {
    /// Resolves a request in the working directory and environment of this process.
    pub(crate) fn resolve_here(
        request: &Request,
        previous: Option<&Settings>,
    ) -> Result<Self, Failure> {
        let directory = std::env::current_dir().map_err(|error| {
            let detail = format!("cannot find the working directory: {error}");
            Failure::new(Class::Configuration, detail)
        })?;
        let environment =
            Environment { working_directory: &directory, variable: &crate::process::variable };
        Self::resolve(request, environment, previous)
    }

    /// Resolves a request. Targets keep the ports that they were assigned in `previous`.
    fn resolve(
        request: &Request,
        environment: Environment<'_>,
        previous: Option<&Settings>,
    ) -> Result<Self, Failure> {
        let path = environment.config_file(request.config.as_deref())?;
        let directory =
            path.as_deref().and_then(Path::parent).unwrap_or(environment.working_directory);
        let file_context = ConfigContext::new(directory, environment.variable);
        let url_context = ConfigContext::new(environment.working_directory, environment.variable);
        let sink = DiagnosticSink::default();
        let file = match &path {
            Some(path) => config::read(&read_file(path)?, &file_context, &sink),
            None => config::File::default(),
        };
        let urls = selection::read_urls(&request.targets, &url_context, &sink);
        let selected =
            selection::select(&request.targets, file.targets, urls, path.as_deref(), &sink)?;
        let options = request.options.clone().or(file.options.clone());
        let targets =
            resolve_targets(&selected, &request.options, &file.options, &options, previous, &sink);
        let skip_failed = options.skip_failed_instance_config == Some(true);
        let skipped = errors::conclude(sink, path.as_deref(), skip_failed)?;
        let settings = settings(remove_skipped(targets, &skipped)?, &options);
        let operation = Operation::new(&options, environment)?;
        let certificates = settings.targets.iter().flat_map(TargetSettings::files).cloned();
        let files = path
            .into_iter()
            .chain(file_context.files_read.take())
            .chain(url_context.files_read.take())
            .chain(certificates)
            .collect();
        let skipped = skipped.into_iter().map(|target| target.error).collect();
        Ok(Self { settings, operation, files, skipped })
    }
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| crate::process::io_failure(&path.display().to_string(), &error))
}

/// Resolves the selected targets. Returns each with the path of its table or URL in errors.
fn resolve_targets(
    selected: &[TargetConfig],
    flags: &Options,
    defaults: &Options,
    options: &Options,
    previous: Option<&Settings>,
    sink: &DiagnosticSink,
) -> Vec<(String, TargetSettings)> {
    let mut listeners = ListenerAllocator::new(selected, flags, defaults, previous);
    let is_only_target = selected.len() == 1;
    let resolver = TargetResolver { flags, defaults, options, is_only_target, sink };
    let resolve = |target: &TargetConfig| {
        Some((target.location.path.clone(), resolver.resolve(target, &mut listeners)?))
    };
    selected.iter().filter_map(resolve).collect()
}

/// Removes skipped targets. Returns an error if none remains.
fn remove_skipped(
    targets: Vec<(String, TargetSettings)>,
    skipped: &[SkippedTarget],
) -> Result<Vec<TargetSettings>, Failure> {
    let is_skipped = |path: &str| !path.is_empty() && skipped.iter().any(|one| one.path == path);
    let remaining: Vec<_> = targets
        .into_iter()
        .filter(|(path, _)| !is_skipped(path))
        .map(|(_, target)| target)
        .collect();
    if remaining.is_empty() {
        let detail = "cannot serve any target: all have configuration errors";
        return Err(Failure::new(Class::Configuration, detail));
    }
    Ok(remaining)
}

fn settings(targets: Vec<TargetSettings>, options: &Options) -> Settings {
    let max_connections =
        usize::try_from(options.max_connections.unwrap_or(0)).unwrap_or(usize::MAX);
    let login_timeout = options.login_timeout.unwrap_or(LOGIN_TIMEOUT);
    Settings { targets, max_connections, login_timeout }
}

#[cfg(test)]
mod tests;
