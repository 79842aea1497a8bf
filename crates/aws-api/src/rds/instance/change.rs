//! Modification of an instance.
//!
//! As on AWS, IAM authentication, class, storage and backups wait for the maintenance window unless
//! `ApplyImmediately` is true; the password, tags of snapshots, deletion protection and exports do
//! not wait.
//! Source: "Settings for DB instances" in the RDS user guide. There is no maintenance window here:
//! changes stay in `PendingModifiedValues` until a request with `ApplyImmediately`, which applies
//! them too, as on AWS.

use std::collections::BTreeMap;

use countersign_authority::model::{DbInstance, DbStatus};
use countersign_authority::store::Draft;
use countersign_core::credentials::Secret;

use super::create::reject_rename;
use super::{InstanceView, authorized, current_output};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::certificate;
use crate::rds::jobs::change_password;
use crate::rds::records::instance::{IAM, check_state, invalid_state, record, set_iam_enabled};
use crate::rds::request::{bad_combination, required};
use crate::rds::validate::{class, engine, log_types, master_password, settings};

/// Settings that wait for the maintenance window, by their names in `PendingModifiedValues`.
const WAITS: [&str; 3] = ["AllocatedStorage", "BackupRetentionPeriod", "StorageType"];

/// Changes in a request.
struct Changes {
    /// `ApplyImmediately`.
    now: bool,
    waits: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    protection: Option<bool>,
    exports: (Vec<String>, Vec<String>),
    password: Option<Secret>,
}

/// `ModifyDBInstance`
pub(crate) fn modify(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let view = authorized(ctx, "ModifyDBInstance", required(ctx, "DBInstanceIdentifier")?)?;
    reject_rename(ctx, "NewDBInstanceIdentifier")?;
    certificate::check(ctx)?;
    let wanted = read(ctx, &view.db)?;
    if !view.created_by_api {
        return modify_external(ctx, &view, &wanted);
    }
    reject_for_member(ctx, &view.db)?;
    let runner = &ctx.api.jobs;
    let permit = wanted.password.as_ref().map(|_| runner.permit()).transpose()?;
    let name = view.db.name.clone();
    runner.store().change(|draft| {
        let mut db = record(draft, &name)?;
        let settled = [DbStatus::Available, DbStatus::Stopped];
        check_state(
            &db,
            runner.name(),
            if wanted.password.is_some() { &settled[..1] } else { &settled },
        )?;
        apply(draft, &mut db, &wanted)?;
        draft.put(db)?;
        Ok::<_, ApiError>(())
    })?;
    if let (Some(permit), Some(password)) = (permit, wanted.password) {
        change_password(permit, name.clone(), view.db.master.clone(), password);
    }
    current_output(ctx, &name)
}

fn read(ctx: &RequestContext<'_>, db: &DbInstance) -> Result<Changes, ApiError> {
    let engine = engine(&db.engine)?;
    let mut settings = settings(ctx)?;
    let mut waits: BTreeMap<String, String> = WAITS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), settings.remove(*name)?)))
        .collect();
    if let Some(named) = ctx.parameters.text("DBInstanceClass") {
        waits.insert("DBInstanceClass".to_owned(), class(named)?);
    }
    if let Some(enabled) = ctx.parameters.flag("EnableIAMDatabaseAuthentication")? {
        waits.insert(IAM.to_owned(), enabled.to_string());
    }
    let exports = |list: &str| {
        log_types(
            engine,
            &ctx.parameters.list(&format!("CloudwatchLogsExportConfiguration.{list}")),
        )
    };
    Ok(Changes {
        now: ctx.parameters.flag("ApplyImmediately")?.unwrap_or(false),
        waits,
        settings,
        protection: ctx.parameters.flag("DeletionProtection")?,
        exports: (exports("EnableLogTypes")?, exports("DisableLogTypes")?),
        password: ctx
            .parameters
            .text("MasterUserPassword")
            .map(|password| master_password(engine, password))
            .transpose()?,
    })
}

/// Returns an error for parameters that a member inherits from its cluster.
fn reject_for_member(ctx: &RequestContext<'_>, db: &DbInstance) -> Result<(), ApiError> {
    let named = |name: &&&str| ctx.parameters.has(name);
    let of_cluster = [
        "MasterUserPassword",
        "EnableIAMDatabaseAuthentication",
        "DeletionProtection",
        "CloudwatchLogsExportConfiguration",
    ];
    match (&db.cluster, of_cluster.iter().find(named)) {
        (Some(cluster), Some(name)) => Err(bad_combination(format!(
            "{} is a member of the cluster {cluster}: change {name} with ModifyDBCluster.",
            db.name
        ))),
        _ => Ok(()),
    }
}

fn apply(draft: &mut Draft, db: &mut DbInstance, wanted: &Changes) -> Result<(), ApiError> {
    db.settings.extend(wanted.settings.clone());
    db.deletion_protection = wanted.protection.unwrap_or(db.deletion_protection);
    db.exports.extend(wanted.exports.0.iter().cloned());
    db.exports.retain(|name| !wanted.exports.1.contains(name));
    db.pending.extend(wanted.waits.clone());
    if wanted.now {
        for (name, value) in std::mem::take(&mut db.pending) {
            match name.as_str() {
                IAM => {
                    db.iam_enabled = value == "true";
                    set_iam_enabled(draft, db.name.as_str(), db.iam_enabled)?;
                }
                "DBInstanceClass" => db.class = value,
                _ => drop(db.settings.insert(name, value)),
            }
        }
    } else {
        drop_unchanged(draft, db);
    }
    if wanted.password.is_some() {
        db.status = DbStatus::Modifying;
        db.pending.insert("MasterUserPassword".to_owned(), "****".to_owned());
    }
    Ok(())
}

/// Removes pending changes that change nothing.
fn drop_unchanged(draft: &Draft, db: &mut DbInstance) {
    let iam = draft
        .instances
        .get(db.name.as_str())
        .map_or(db.iam_enabled, |instance| instance.iam_enabled)
        .to_string();
    let (class, settings) = (&db.class, &db.settings);
    db.pending.retain(|name, value| match name.as_str() {
        IAM => *value != iam,
        "DBInstanceClass" => value != class,
        _ => settings.get(name) != Some(value),
    });
}

/// Modifies a server that the API did not create: only IAM authentication, and only at once.
fn modify_external(
    ctx: &RequestContext<'_>,
    view: &InstanceView,
    wanted: &Changes,
) -> Result<ActionOutput, ApiError> {
    let allowed = ["DBInstanceIdentifier", "EnableIAMDatabaseAuthentication", "ApplyImmediately"];
    let name = &view.db.name;
    if let Some(other) = ctx.parameters.names().into_iter().find(|name| !allowed.contains(name)) {
        let message = format!(
            "{name} was not created through this API, but by `countersign local`: {other} cannot \
             be changed here."
        );
        return Err(invalid_state(message));
    }
    let Some(enabled) = wanted.waits.get(IAM) else {
        return current_output(ctx, name);
    };
    if !wanted.now {
        let message = format!(
            "{name} was not created through this API, and has no maintenance window: set \
             ApplyImmediately to true."
        );
        return Err(bad_combination(message));
    }
    ctx.api.store().change(|draft| set_iam_enabled(draft, name.as_str(), enabled == "true"))?;
    current_output(ctx, name)
}
