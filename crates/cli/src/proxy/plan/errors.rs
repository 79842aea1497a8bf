//! Conversion of configuration errors into one failure, or into skipped targets.

use std::path::Path;

use countersign_config_file::DiagnosticSink;
use countersign_core::diagnostic::Diagnostic;
use countersign_core::failure::{Class, Failure};

use crate::proxy::config::NO_POSITION;

/// Target with a configuration error.
#[derive(Debug)]
pub(super) struct SkippedTarget {
    /// Path of its table, or of its URL.
    pub(super) path: String,
    pub(super) error: String,
}

/// Returns a failure with all errors, if there are any.
///
/// With `skip_failed`, returns the errors instead if each belongs to a target.
pub(super) fn conclude(
    sink: DiagnosticSink,
    file: Option<&Path>,
    skip_failed: bool,
) -> Result<Vec<SkippedTarget>, Failure> {
    let Err(errors) = sink.finish() else {
        return Ok(Vec::new());
    };
    let skipped: Option<Vec<_>> = errors.as_slice().iter().map(skipped_target).collect();
    if let (true, Some(skipped)) = (skip_failed, skipped) {
        return Ok(skipped);
    }
    // Errors of the command line have no line, and come first.
    let (command_line, in_file): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
        errors.as_slice().iter().partition(|error| error.position == NO_POSITION);
    let mut lines: Vec<String> = command_line.into_iter().map(format_error).collect();
    if in_file.is_empty() {
        return Err(Failure::new(Class::Usage, lines.join("\n")));
    }
    let name = file.map_or_else(|| "the targets".to_owned(), |path| path.display().to_string());
    lines.push(format!("cannot use {name}:"));
    lines.extend(in_file.into_iter().map(format_error));
    if errors.omitted() > 0 {
        lines.push(format!("and {} more", errors.omitted()));
    }
    Err(Failure::new(Class::Configuration, lines.join("\n")))
}

/// Returns the target that an error belongs to: `targets.NAME`, or a URL.
fn skipped_target(error: &Diagnostic) -> Option<SkippedTarget> {
    let mut parts = error.path.split('.');
    let first = parts.next()?;
    let path = if error.position == NO_POSITION {
        first.to_owned()
    } else {
        let name = parts.next().filter(|_| first == "targets")?;
        format!("{first}.{name}")
    };
    Some(SkippedTarget { path, error: format_error(error) })
}

fn format_error(error: &Diagnostic) -> String {
    if error.position == NO_POSITION {
        format!("{}: {}", error.path, error.problem)
    } else {
        error.to_string()
    }
}
