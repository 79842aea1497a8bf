//! Starting, stopping, rebooting and deleting an instance.

use std::sync::Arc;

use countersign_core::name::InstanceId;

use super::completion::{came_up, gone, left};
use super::{InstanceView, allowed, answer, cluster_of, record, said};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::job_runner::{JobPermit, JobRunner};
use crate::rds::request::{AccountRegion, bad_combination, error, required};
use countersign_authority::model::{DbInstance, DbStatus, Instance};
use countersign_authority::servers::{Servers, ServersError};
use countersign_authority::store::{Draft, State};

/// `StartDBInstance`
pub(crate) fn start(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = alone(call, "StartDBInstance")?.db.name.clone();
    begin(call, &name, &[DbStatus::Stopped], DbStatus::Starting)?;
    answer(call, &name)
}

/// `StopDBInstance`
pub(crate) fn stop(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let name = alone(call, "StopDBInstance")?.db.name.clone();
    begin(call, &name, &[DbStatus::Available], DbStatus::Stopping)?;
    answer(call, &name)
}

/// `RebootDBInstance`
pub(crate) fn reboot(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let found = ours(call, "RebootDBInstance")?;
    if call.parameters.flag("ForceFailover")? == Some(true) {
        return Err(bad_combination(
            "ForceFailover can't be true: the instance has no standby to fail over to.",
        ));
    }
    begin(call, &found.db.name, &[DbStatus::Available], DbStatus::Rebooting)?;
    answer(call, &found.db.name)
}

/// `DeleteDBInstance`
pub(crate) fn delete(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let found = ours(call, "DeleteDBInstance")?;
    refuse_snapshot(call, found.db.cluster.is_some())?;
    let settled = [DbStatus::Available, DbStatus::Stopped, DbStatus::Failed];
    begin(call, &found.db.name, &settled, DbStatus::Deleting)?;
    // It may have gone already.
    let db = DbInstance { status: DbStatus::Deleting, ..DbInstance::clone(&found.db) };
    Ok(said(call, &AccountRegion::of(call)?, &InstanceView { db: Arc::new(db), ..found }))
}

/// No snapshot can be made here: it is not said that one was. Members of clusters have none on AWS either.
pub(crate) fn refuse_snapshot(
    call: &RequestContext<'_>,
    member: bool,
) -> Result<(), ApiError> {
    let skip = call.parameters.flag("SkipFinalSnapshot")?;
    let named = call.parameters.text("FinalDBSnapshotIdentifier").is_some();
    if named || !(skip == Some(true) || (member && skip.is_none())) {
        return Err(bad_combination(
            "SkipFinalSnapshot must be true, and FinalDBSnapshotIdentifier absent: this authority makes no snapshots, and what is deleted is lost.",
        ));
    }
    Ok(())
}

/// The instance, if the API made it.
fn ours(call: &RequestContext<'_>, action: &str) -> Result<InstanceView, ApiError> {
    let found = allowed(call, action, required(call, "DBInstanceIdentifier")?)?;
    if found.made_here {
        return Ok(found);
    }
    let name = &found.db.name;
    Err(invalid_state(format!(
        "{name} was not made through this API, but by `countersign local`: start, stop and delete it there."
    )))
}

/// The same, if it is in no cluster: Aurora's members start and stop together.
fn alone(call: &RequestContext<'_>, action: &str) -> Result<InstanceView, ApiError> {
    let found = ours(call, action)?;
    match &found.db.cluster {
        Some(cluster) => Err(error(
            "InvalidDBClusterStateFault",
            format!(
                "{} is a member of the cluster {cluster}: start and stop the cluster.",
                found.db.name
            ),
        )),
        None => Ok(found),
    }
}

pub(crate) fn invalid_state(message: impl AsRef<str>) -> ApiError {
    error("InvalidDBInstanceState", message)
}

/// Begins to bring an instance into another state, if it is in one of `from`.
fn begin(
    call: &RequestContext<'_>,
    name: &InstanceId,
    from: &[DbStatus],
    passing: DbStatus,
) -> Result<(), ApiError> {
    let runner = &call.api.jobs;
    let permit = runner.permit()?;
    runner.store().change(|draft| enter(draft, runner.name(), name, from, passing))?;
    go_on(permit, name.clone(), passing);
    Ok(())
}

/// Writes that an instance is on its way to another state.
pub(crate) fn enter(
    draft: &mut Draft,
    runner: &str,
    name: &InstanceId,
    from: &[DbStatus],
    passing: DbStatus,
) -> Result<(), ApiError> {
    let db = record(draft, name)?;
    check_state(&db, runner, from)?;
    if passing == DbStatus::Deleting {
        check_deletable(draft, &db)?;
        // Nobody logs in to it from now on.
        draft.remove::<Instance>(name.as_str());
    }
    draft.put(DbInstance { status: passing, reason: None, ..db })?;
    Ok(())
}

pub(crate) fn check_state(
    db: &DbInstance,
    runner: &str,
    from: &[DbStatus],
) -> Result<(), ApiError> {
    if db.runner != runner {
        return Err(invalid_state(format!(
            "The server of {} is run by the authority {}: send the request there.",
            db.name, db.runner
        )));
    }
    if !from.contains(&db.status) {
        return Err(invalid_state(format!(
            "Instance {} is not in {} state: it is {}.",
            db.name,
            described(from),
            db.status.as_str()
        )));
    }
    Ok(())
}

fn described(states: &[DbStatus]) -> String {
    states.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(" or ")
}

fn check_deletable(state: &State, db: &DbInstance) -> Result<(), ApiError> {
    if db.deletion_protection {
        return Err(bad_combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    let Some(cluster) = cluster_of(state, db) else {
        return Ok(());
    };
    let other = |other: &&Arc<DbInstance>| {
        other.cluster == db.cluster
            && other.name != db.name
            && other.account == db.account
            && other.region == db.region
    };
    if cluster.writer.as_ref() == Some(&db.name)
        && state.db_instances.values().any(|member| other(&member))
    {
        return Err(invalid_state(format!(
            "{} is the writer of {}, whose readers follow it: delete them first.",
            db.name, cluster.name
        )));
    }
    Ok(())
}

/// Does what the state that an instance passes through is for; again, where that was broken off.
pub(crate) fn go_on(permit: JobPermit, name: InstanceId, passing: DbStatus) {
    JobRunner::work(permit, passing.as_str(), move |runner, servers| {
        finish(runner, servers, &name, passing)
    });
}

pub(crate) fn finish(
    runner: &JobRunner,
    servers: &Arc<dyn Servers>,
    name: &InstanceId,
    passing: DbStatus,
) {
    let came = match passing {
        DbStatus::Stopping => return stopped(runner, name, servers.stop(name)),
        DbStatus::Deleting => return deleted(runner, name, servers.delete(name)),
        DbStatus::Rebooting => servers.reboot(name),
        _ => servers.start(name),
    };
    match came {
        Ok(running) => came_up(runner, name, &running),
        Err(error) if passing == DbStatus::Creating => {
            let reason = format!(
                "the authority ended while the server was being made, and nothing is left of it ({error}): delete the instance"
            );
            left(runner, name, DbStatus::Failed, Some(&reason));
        }
        Err(error) => left(runner, name, DbStatus::Stopped, Some(&error)),
    }
}

fn stopped(runner: &JobRunner, name: &InstanceId, done: Result<(), ServersError>) {
    match done {
        Ok(()) => left(runner, name, DbStatus::Stopped, None),
        Err(error) => left(runner, name, DbStatus::Available, Some(&error)),
    }
}

fn deleted(runner: &JobRunner, name: &InstanceId, done: Result<(), ServersError>) {
    match done {
        // A server that was never made, or is gone from a deletion that was broken off.
        Ok(()) | Err(ServersError::InstanceNotFound(_)) => gone(runner, name),
        Err(error) => left(runner, name, DbStatus::Failed, Some(&error)),
    }
}
