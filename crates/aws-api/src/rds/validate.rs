//! Validation of parameters.

use std::collections::BTreeMap;

use countersign_authority::random;
use countersign_core::credentials::Secret;
use countersign_core::name::{Engine, InstanceId, ResourceId};

use super::request::{bad_combination, bad_value, number};
use crate::context::RequestContext;
use crate::error::ApiError;

/// Validates the port of a server.
/// Source: `Port` of CreateDBInstance in the RDS API reference.
pub(crate) fn port(ctx: &RequestContext<'_>, name: &str) -> Result<Option<u16>, ApiError> {
    Ok(number(ctx, name, 1150, 65535)?.and_then(|port| u16::try_from(port).ok()))
}

/// Validates an identifier and converts it to lower case.
/// Source: CreateDBInstance in the RDS API reference.
pub(crate) fn new_name(parameter: &str, text: &str) -> Result<InstanceId, ApiError> {
    text.to_ascii_lowercase().parse().map_err(|_| {
        bad_value(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a \
             letter; must contain only ASCII letters, \
             digits, and hyphens; must be at most 63 long; and must not end with a hyphen or \
             contain two consecutive hyphens."
        ))
    })
}

/// Returns a new resource id: `prefix` and 26 characters.
pub(crate) fn resource_id(prefix: &str) -> Result<ResourceId, ApiError> {
    Ok(random::id(prefix, 26)?.parse()?)
}

/// Returns the engine of a name in the RDS API.
pub(crate) fn engine(name: &str) -> Result<Engine, ApiError> {
    match name {
        "postgres" | "aurora-postgresql" => Ok(Engine::Postgres),
        "mysql" | "aurora-mysql" => Ok(Engine::Mysql),
        "mariadb" => Ok(Engine::Mariadb),
        _ => Err(bad_value(format!(
            "Invalid DB engine: {name}. Valid engines are postgres, mysql, mariadb, \
             aurora-postgresql, aurora-mysql."
        ))),
    }
}

/// Validates the master user's name; the server may reject more.
/// Source: `MasterUsername` of CreateDBInstance.
pub(crate) fn master_name(engine: Engine, name: &str) -> Result<String, ApiError> {
    let max = if engine == Engine::Postgres { 63 } else { 32 };
    let is_valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.len() > max
        || !is_valid
        || !name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
    {
        return Err(bad_value(format!(
            "The parameter MasterUsername is not a letter followed by up to {} letters, digits or \
             underscores.",
            max - 1
        )));
    }
    if [
        "rdsadmin",
        "rds_superuser",
        "rds_iam",
        "rds_password",
        "rds_replication",
        "public",
        "mysql",
    ]
    .contains(&&*name.to_ascii_lowercase())
    {
        return Err(bad_value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(name.to_owned())
}

/// Validates the master user's password.
/// Source: `MasterUserPassword` of CreateDBInstance.
pub(crate) fn master_password(engine: Engine, password: &str) -> Result<Secret, ApiError> {
    let max = if engine == Engine::Postgres { 128 } else { 41 };
    if !(8..=max).contains(&password.len()) {
        return Err(bad_value(format!(
            "The parameter MasterUserPassword is not a valid password because it is not 8 to \
             {max} characters."
        )));
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"/\"@".contains(&byte);
    let secret = Secret::new(password).filter(|_| password.bytes().all(fits));
    secret.ok_or_else(|| {
        bad_value(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII \
             characters besides '/', '@', '\"', ' ' may be used.",
        )
    })
}

/// Validates the name of the database that is created with a server.
pub(crate) fn database_name(parameter: &str, name: &str) -> Result<String, ApiError> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if starts
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(name.to_owned());
    }
    Err(bad_value(format!(
        "{parameter} must begin with a letter and contain only alphanumeric characters or \
         underscores."
    )))
}

/// Type of a setting that is stored and returned, but has no effect.
#[derive(Debug, Clone, Copy)]
enum SettingType {
    Flag,
    Number(u64, u64),
    Text,
}

const STORED: [(&str, SettingType); 10] = [
    ("AllocatedStorage", SettingType::Number(5, 65_536)),
    ("AutoMinorVersionUpgrade", SettingType::Flag),
    ("BackupRetentionPeriod", SettingType::Number(0, 35)),
    ("CopyTagsToSnapshot", SettingType::Flag),
    ("LicenseModel", SettingType::Text),
    ("PreferredBackupWindow", SettingType::Text),
    ("PreferredMaintenanceWindow", SettingType::Text),
    ("PromotionTier", SettingType::Number(0, 15)),
    ("PubliclyAccessible", SettingType::Flag),
    ("StorageType", SettingType::Text),
];

/// Parameters that have an effect on AWS, but only one possible value here.
const FIXED: [(&str, &str); 6] = [
    ("MultiAZ", "false"),
    ("StorageEncrypted", "false"),
    ("EnablePerformanceInsights", "false"),
    ("ManageMasterUserPassword", "false"),
    ("MonitoringInterval", "0"),
    ("NetworkType", "IPV4"),
];

/// Returns the settings of a request that are stored; other values of fixed ones are rejected.
pub(crate) fn settings(ctx: &RequestContext<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    for (name, only) in FIXED {
        if let Some(value) = ctx.parameters.text(name)
            && !value.eq_ignore_ascii_case(only)
        {
            return Err(bad_combination(format!(
                "{name} can only be {only}: this authority's servers support nothing else."
            )));
        }
    }
    let mut settings = BTreeMap::new();
    for (name, kind) in STORED {
        let value = match kind {
            SettingType::Flag => ctx.parameters.flag(name)?.map(|flag| flag.to_string()),
            SettingType::Number(min, max) => {
                number(ctx, name, min, max)?.map(|number| number.to_string())
            }
            SettingType::Text => ctx.parameters.text(name).map(str::to_owned),
        };
        if let Some(value) = value {
            if value.len() > 64 {
                return Err(bad_value(format!("{name} is too long.")));
            }
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(settings)
}

/// Validates an instance class (`db.t3.micro`): any is accepted, since it has no effect.
pub(crate) fn class(text: &str) -> Result<String, ApiError> {
    let is_valid = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
    };
    if text.starts_with("db.") && text.len() <= 64 && text.bytes().all(is_valid) {
        return Ok(text.to_owned());
    }
    Err(bad_value(format!("Invalid DB Instance class: {text}")))
}

/// Validates the types of logs to export.
/// Source: CloudwatchLogsExportConfiguration in the RDS API reference.
pub(crate) fn log_types(engine: Engine, named: &[&str]) -> Result<Vec<String>, ApiError> {
    let known: &[&str] = match engine {
        Engine::Postgres => &["postgresql", "upgrade", "iam-db-auth-error"],
        Engine::Mysql | Engine::Mariadb => {
            &["audit", "error", "general", "slowquery", "iam-db-auth-error"]
        }
    };
    let read = |name: &&str| {
        if known.contains(name) {
            return Ok((*name).to_owned());
        }
        Err(bad_combination(format!(
            "You cannot use the log types '{name}' with engine version {engine}."
        )))
    };
    named.iter().map(read).collect()
}
