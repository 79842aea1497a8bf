//! Start, stop, reboot and deletion of an instance.

use std::sync::Arc;

use countersign_authority::model::{DbInstance, DbStatus};
use countersign_core::name::InstanceId;

use super::{InstanceView, authorized, current_output, output};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::jobs::resume;
use crate::rds::records::instance::{begin_transition, invalid_state};
use crate::rds::request::{AccountRegion, bad_combination, error, required};

/// `StartDBInstance`
pub(crate) fn start(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = standalone(ctx, "StartDBInstance")?.db.name.clone();
    begin(ctx, &name, &[DbStatus::Stopped], DbStatus::Starting)?;
    current_output(ctx, &name)
}

/// `StopDBInstance`
pub(crate) fn stop(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = standalone(ctx, "StopDBInstance")?.db.name.clone();
    begin(ctx, &name, &[DbStatus::Available], DbStatus::Stopping)?;
    current_output(ctx, &name)
}

/// `RebootDBInstance`
pub(crate) fn reboot(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let view = created_by_api(ctx, "RebootDBInstance")?;
    if ctx.parameters.flag("ForceFailover")? == Some(true) {
        return Err(bad_combination("ForceFailover cannot be true: the instance has no standby."));
    }
    begin(ctx, &view.db.name, &[DbStatus::Available], DbStatus::Rebooting)?;
    current_output(ctx, &view.db.name)
}

/// `DeleteDBInstance`
pub(crate) fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let view = created_by_api(ctx, "DeleteDBInstance")?;
    reject_snapshot(ctx, view.db.cluster.is_some())?;
    let settled = [DbStatus::Available, DbStatus::Stopped, DbStatus::Failed];
    begin(ctx, &view.db.name, &settled, DbStatus::Deleting)?;
    // The record may already be removed.
    let db = DbInstance { status: DbStatus::Deleting, ..DbInstance::clone(&view.db) };
    Ok(output(ctx, &AccountRegion::of(ctx)?, &InstanceView { db: Arc::new(db), ..view }))
}

/// Returns an error if a final snapshot is requested: none can be made. Members of clusters have
/// none on AWS either.
pub(crate) fn reject_snapshot(ctx: &RequestContext<'_>, member: bool) -> Result<(), ApiError> {
    let skip = ctx.parameters.flag("SkipFinalSnapshot")?;
    let named = ctx.parameters.text("FinalDBSnapshotIdentifier").is_some();
    if named || !(skip == Some(true) || (member && skip.is_none())) {
        return Err(bad_combination(
            "SkipFinalSnapshot must be true, and FinalDBSnapshotIdentifier absent: this authority \
             makes no snapshots, and deleted data is lost.",
        ));
    }
    Ok(())
}

/// Returns the instance, if the API created it.
fn created_by_api(ctx: &RequestContext<'_>, action: &str) -> Result<InstanceView, ApiError> {
    let view = authorized(ctx, action, required(ctx, "DBInstanceIdentifier")?)?;
    if view.created_by_api {
        return Ok(view);
    }
    let name = &view.db.name;
    Err(invalid_state(format!(
        "{name} was not created through this API, but by `countersign local`: start, stop and \
         delete it there."
    )))
}

/// Returns the instance, if the API created it and it is not in a cluster: members start and stop
/// together.
fn standalone(ctx: &RequestContext<'_>, action: &str) -> Result<InstanceView, ApiError> {
    let view = created_by_api(ctx, action)?;
    match &view.db.cluster {
        Some(cluster) => Err(error(
            "InvalidDBClusterStateFault",
            format!(
                "{} is a member of the cluster {cluster}: start and stop the cluster.",
                view.db.name
            ),
        )),
        None => Ok(view),
    }
}

/// Starts the transition of an instance that is in one of the statuses `from`.
fn begin(
    ctx: &RequestContext<'_>,
    name: &InstanceId,
    from: &[DbStatus],
    transition: DbStatus,
) -> Result<(), ApiError> {
    let runner = &ctx.api.jobs;
    let permit = runner.permit()?;
    runner
        .store()
        .change(|draft| begin_transition(draft, runner.name(), name, from, transition))?;
    resume(permit, name.clone(), transition);
    Ok(())
}
