//! Logs of an instance: its server's, and the denials of the authority.

use std::time::SystemTime;

use countersign_authority::model::DbStatus;
use countersign_authority::servers::{LogFile, MAX_LOG_PORTION, ServersError};
use countersign_core::name::InstanceId;

use super::instance::authorized;
use super::request::{bad_value, error, filters, number, page, required};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Log of denied logins. AWS names the type, `iam-db-auth-error`, and documents it as a file on the
/// database's host, but not the file's name.
const IAM_ERRORS: &str = "error/iam-db-auth-error.log";

/// Default of `NumberOfLines`.
/// Source: DownloadDBLogFilePortion in the RDS API reference.
const MAX_LINES: u64 = 10_000;

/// Returns the logs in the order of their names.
fn all(ctx: &RequestContext<'_>, name: &InstanceId) -> Result<Vec<LogFile>, ApiError> {
    let runner = &ctx.api.jobs;
    let mut files = match runner.servers().map(|servers| servers.logs(name)) {
        Ok(Ok(files)) => files,
        // The server is run elsewhere, or does not exist.
        Ok(Err(ServersError::InstanceNotFound(_))) | Err(_) => Vec::new(),
        Ok(Err(error)) => return Err(error.into()),
    };
    if let Some((size, last_written)) =
        runner.log().denials(name).map_err(|error| ApiError::internal(&error))?
    {
        files.push(LogFile { name: IAM_ERRORS.to_owned(), size, last_written });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Returns the instance, if it is no longer being created.
fn ready(ctx: &RequestContext<'_>, action: &str) -> Result<InstanceId, ApiError> {
    let view = authorized(ctx, action, required(ctx, "DBInstanceIdentifier")?)?;
    if view.db.status == DbStatus::Creating {
        return Err(error(
            "DBInstanceNotReady",
            format!("DBInstance {} is being created.", view.db.name),
        ));
    }
    Ok(view.db.name.clone())
}

fn milliseconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// `DescribeDBLogFiles`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = ready(ctx, "DescribeDBLogFiles")?;
    filters(ctx, &[])?;
    let contains = ctx.parameters.text("FilenameContains").unwrap_or_default();
    let since = ctx.parameters.number("FileLastWritten")?.unwrap_or(0);
    let min_size = ctx.parameters.number("FileSize")?.unwrap_or(0);
    let fits = |file: &LogFile| {
        file.name.contains(contains)
            && milliseconds(file.last_written) >= since
            && file.size >= min_size
    };
    let files =
        all(ctx, &name)?.into_iter().filter(fits).map(|file| (file.name.clone(), file)).collect();
    let (page, marker) = page(ctx, files)?;
    let mut xml = Xml::new();
    xml.list("DescribeDBLogFiles", "DescribeDBLogFilesDetails", page, |xml, file| {
        xml.leaf("LogFileName", &file.name)
            .leaf("LastWritten", milliseconds(file.last_written))
            .leaf("Size", file.size);
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// `DownloadDBLogFilePortion`: from the marker, or the end of the log without a marker.
pub(crate) fn download(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = ready(ctx, "DownloadDBLogFilePortion")?;
    let wanted = required(ctx, "LogFileName")?;
    let lines = number(ctx, "NumberOfLines", 1, u64::from(u32::MAX))?;
    let marker = ctx.parameters.text("Marker").map(|marker| marker.parse::<u64>());
    let marker = marker.transpose().map_err(|_| {
        bad_value("Invalid Marker: it must be 0, or the marker of the previous response.")
    })?;
    let file = all(ctx, &name)?.into_iter().find(|file| file.name == wanted);
    let file = file.ok_or_else(|| {
        ApiError::new(
            "DBLogFileNotFoundFault",
            404,
            &format!("DBLog File: {wanted}, is not found on the DB instance"),
        )
    })?;
    let portion = match marker {
        Some(offset) => lines_from(ctx, &name, &file, offset, lines.unwrap_or(u64::MAX))?,
        None => last_lines(ctx, &name, &file, lines.unwrap_or(MAX_LINES))?,
    };
    let mut xml = Xml::new();
    xml.leaf("LogFileData", &portion.text)
        .leaf("Marker", portion.next)
        .leaf("AdditionalDataPending", portion.more);
    Ok(xml.into())
}

/// Lines of a log.
struct Portion {
    text: String,
    /// Offset of the next portion.
    next: u64,
    more: bool,
}

fn read(
    ctx: &RequestContext<'_>,
    name: &InstanceId,
    file: &LogFile,
    offset: u64,
) -> Result<Vec<u8>, ApiError> {
    let runner = &ctx.api.jobs;
    if file.name == IAM_ERRORS {
        return runner
            .log()
            .read_denials(name, offset, MAX_LOG_PORTION)
            .map_err(|error| ApiError::internal(&error));
    }
    Ok(runner.servers()?.read_log(name, &file.name, offset, MAX_LOG_PORTION)?)
}

/// Returns complete lines from an offset; at the end of the log, an incomplete last line too.
fn lines_from(
    ctx: &RequestContext<'_>,
    name: &InstanceId,
    file: &LogFile,
    offset: u64,
    lines: u64,
) -> Result<Portion, ApiError> {
    let mut bytes = read(ctx, name, file, offset)?;
    let read = length(&bytes);
    let mut ends =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let max = usize::try_from(lines.saturating_sub(1)).unwrap_or(usize::MAX);
    let full = read >= MAX_LOG_PORTION;
    // A line longer than a portion is returned in pieces.
    let cut = ends.nth(max).or_else(|| {
        bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1).filter(|_| full)
    });
    bytes.truncate(cut.unwrap_or(bytes.len()));
    let next = offset.saturating_add(length(&bytes));
    let more = length(&bytes) < read || full;
    Ok(Portion { text: String::from_utf8_lossy(&bytes).into_owned(), next, more })
}

/// Returns the last lines of a log.
fn last_lines(
    ctx: &RequestContext<'_>,
    name: &InstanceId,
    file: &LogFile,
    lines: u64,
) -> Result<Portion, ApiError> {
    let offset = file.size.saturating_sub(MAX_LOG_PORTION);
    let bytes = read(ctx, name, file, offset)?;
    let next = offset.saturating_add(length(&bytes));
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be incomplete.
    let whole = if offset > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    let all: Vec<&str> = whole.split_inclusive('\n').collect();
    let skipped = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
    Ok(Portion { text: all.into_iter().skip(skipped).collect(), next, more: false })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
