//! Available versions of the engines.

use std::cmp::Ordering;

use countersign_core::name::Engine;

use super::request::{ConditionKeys, authorize, bad_combination, filters, page};
use super::validate::engine;
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Returns true if `version` equals `wanted` or begins with its parts: `16` covers `16.9`, but `1`
/// does not.
pub(crate) fn covers(wanted: &str, version: &str) -> bool {
    version.strip_prefix(plain(wanted)).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Strips the Aurora part of a version: `8.0.mysql_aurora.3.05.2`.
fn plain(wanted: &str) -> &str {
    wanted.split(".mysql_aurora").next().unwrap_or(wanted)
}

/// Returns the newest version of an engine that `wanted` covers.
pub(crate) fn fitting(
    ctx: &RequestContext<'_>,
    engine_name: &str,
    wanted: Option<&str>,
) -> Result<String, ApiError> {
    let engine = engine(engine_name)?;
    let versions = ctx.api.jobs.servers()?.versions()?;
    let of = versions.into_iter().filter(|version| version.engine == engine);
    let newest = of
        .filter(|version| wanted.is_none_or(|wanted| covers(wanted, &version.version)))
        .max_by(|one, other| compare(&one.version, &other.version));
    newest.map(|version| version.version).ok_or_else(|| {
        let wanted = wanted.unwrap_or("of any kind");
        bad_combination(format!(
            "Cannot find version {wanted} for {engine_name}: DescribeDBEngineVersions lists the \
             installed versions."
        ))
    })
}

/// Compares versions by their numbers.
fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |version: &str| {
        version.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>()
    };
    numbers(one).cmp(&numbers(other))
}

/// Returns RDS's names of an engine; parameter group families begin with them.
const fn names(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => &["aurora-postgresql", "postgres"],
        Engine::Mysql => &["aurora-mysql", "mysql"],
        Engine::Mariadb => &["mariadb"],
    }
}

/// Returns the major version: `16` of `16.9`, `8.0` of `8.0.43`.
fn major(engine: Engine, version: &str) -> String {
    let parts = if engine == Engine::Postgres { 1 } else { 2 };
    version.split('.').take(parts).collect::<Vec<_>>().join(".")
}

struct Row {
    name: &'static str,
    engine: Engine,
    version: String,
}

/// `DescribeDBEngineVersions`: empty if this authority runs no servers.
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    authorize(ctx, "DescribeDBEngineVersions", "*", &ConditionKeys::default())?;
    let filters = filters(
        ctx,
        &["db-parameter-group-family", "engine", "engine-mode", "engine-version", "status"],
    )?;
    let (named, wanted) = (ctx.parameters.text("Engine"), ctx.parameters.text("EngineVersion"));
    let (family, newest_only) = (
        ctx.parameters.text("DBParameterGroupFamily"),
        ctx.parameters.flag("DefaultOnly")? == Some(true),
    );
    let mut versions =
        ctx.api.jobs.servers().map_or_else(|_| Ok(Vec::new()), |servers| servers.versions())?;
    versions.sort_by(|one, other| {
        one.engine.cmp(&other.engine).then_with(|| compare(&one.version, &other.version))
    });
    let newest = |row: &Row| {
        let of = versions.iter().filter(|version| version.engine == row.engine);
        of.max_by(|one, other| compare(&one.version, &other.version))
            .is_some_and(|newest| newest.version == row.version)
    };
    let rows = versions.iter().flat_map(|version| {
        names(version.engine).iter().map(|name| Row {
            name,
            engine: version.engine,
            version: version.version.clone(),
        })
    });
    let fits = |row: &Row| {
        let family_of = format!("{}{}", row.name, major(row.engine, &row.version));
        named.is_none_or(|named| named == row.name)
            && wanted.is_none_or(|wanted| covers(wanted, &row.version))
            && family.is_none_or(|family| family == family_of)
            && (!newest_only || newest(row))
            && filters.iter().all(|(name, values)| {
                values.iter().any(|value| match name.as_str() {
                    "db-parameter-group-family" => *value == family_of,
                    "engine" => value == row.name,
                    "engine-version" => covers(value, &row.version),
                    "engine-mode" => value == "provisioned",
                    _ => value == "available",
                })
            })
    };
    let rows: Vec<Row> = rows.filter(fits).collect();
    let keyed =
        rows.into_iter().enumerate().map(|(scope, row)| (format!("{scope:06}"), row)).collect();
    let (page, marker) = page(ctx, keyed)?;
    let mut xml = Xml::new();
    xml.list("DBEngineVersions", "DBEngineVersion", page, |xml, row| write(xml, &row));
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

fn write(xml: &mut Xml, row: &Row) {
    let (product, major) = (row.engine.product(), major(row.engine, &row.version));
    xml.leaf("Engine", row.name)
        .leaf("MajorEngineVersion", &major)
        .leaf("EngineVersion", &row.version);
    xml.leaf("DBParameterGroupFamily", format!("{}{major}", row.name));
    xml.leaf("DBEngineDescription", product)
        .leaf("DBEngineVersionDescription", format!("{product} {}", row.version));
    xml.element("ValidUpgradeTarget", |_| {});
    xml.leaf("SupportsLogExportsToCloudwatchLogs", "false")
        .leaf("SupportsReadReplica", row.engine == Engine::Postgres);
    xml.leaf("Status", "available")
        .leaf("SupportsParallelQuery", "false")
        .leaf("SupportsGlobalDatabases", "false");
}
