//! Jobs: changes of servers, each on a thread of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_authority::model::DbStatus;
use countersign_authority::servers::{NewServer, Servers, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::{InstanceId, ResourceId};

use super::completion::{mark_available, remove, set_status};
use super::job_runner::{JobPermit, JobRunner};
use super::proxy_listener::{self, ProxyListener};
use super::records::proxy;

/// Time for which a new replica waits for its writer.
const WRITER_TIMEOUT: Duration = Duration::from_secs(600);

/// Creates a server, after the writer that it replicates is available.
pub(crate) fn create_server(permit: JobPermit, new: NewServer) {
    JobRunner::spawn(permit, "create", move |runner, servers| {
        let name = new.instance.clone();
        let new = match new.replica_of.clone().map(|writer| await_writer(runner, &writer)) {
            None => new,
            // A replica has the users, databases and version of its source.
            Some(Ok(())) => NewServer { master: None, database: None, port: None, ..new },
            Some(Err(reason)) => {
                return set_status(runner, &name, DbStatus::Failed, Some(&reason));
            }
        };
        match servers.create(&new) {
            Ok(running) => mark_available(runner, &name, &running),
            Err(error) => set_status(runner, &name, DbStatus::Failed, Some(&error)),
        }
    });
}

/// Waits until a writer is available: clients create all members of a cluster at once.
fn await_writer(runner: &JobRunner, writer: &InstanceId) -> Result<(), String> {
    let deadline = Instant::now() + WRITER_TIMEOUT;
    while Instant::now() < deadline {
        let state = runner.store().state().map_err(|error| error.to_string())?;
        match state.db_instances.get(writer.as_str()).map(|writer| writer.status) {
            Some(DbStatus::Available) => return Ok(()),
            Some(
                DbStatus::Creating | DbStatus::Modifying | DbStatus::Rebooting | DbStatus::Starting,
            ) => {}
            Some(status) => {
                return Err(format!(
                    "the writer {writer} is {}: start it, then create the reader again",
                    status.as_str()
                ));
            }
            None => return Err(format!("the writer {writer} no longer exists")),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!("the writer {writer} was not available in time"))
}

/// Changes the password of an instance's master user.
pub(crate) fn change_password(
    permit: JobPermit,
    instance: InstanceId,
    user: String,
    password: Secret,
) {
    JobRunner::spawn(permit, "password", move |runner, servers| {
        let error = servers.set_master_password(&instance, &user, &password).err();
        let reason = error.as_ref().map(|error| error as &dyn std::fmt::Display);
        set_status(runner, &instance, DbStatus::Available, reason);
    });
}

/// Starts or resumes the transition that a transitional status stands for.
pub(crate) fn resume(permit: JobPermit, name: InstanceId, transition: DbStatus) {
    JobRunner::spawn(permit, transition.as_str(), move |runner, servers| {
        run_transition(runner, servers, &name, transition)
    });
}

/// Runs the transition of an instance and records its end.
pub(crate) fn run_transition(
    runner: &JobRunner,
    servers: &Arc<dyn Servers>,
    name: &InstanceId,
    transition: DbStatus,
) {
    let started = match transition {
        DbStatus::Stopping => return finish_stop(runner, name, servers.stop(name)),
        DbStatus::Deleting => return finish_deletion(runner, name, servers.delete(name)),
        DbStatus::Rebooting => servers.reboot(name),
        _ => servers.start(name),
    };
    match started {
        Ok(running) => mark_available(runner, name, &running),
        Err(error) if transition == DbStatus::Creating => {
            let reason = format!(
                "the authority ended while it created the server, and nothing is left of it \
                 ({error}): delete the instance"
            );
            set_status(runner, name, DbStatus::Failed, Some(&reason));
        }
        Err(error) => set_status(runner, name, DbStatus::Stopped, Some(&error)),
    }
}

fn finish_stop(runner: &JobRunner, name: &InstanceId, result: Result<(), ServersError>) {
    match result {
        Ok(()) => set_status(runner, name, DbStatus::Stopped, None),
        Err(error) => set_status(runner, name, DbStatus::Available, Some(&error)),
    }
}

fn finish_deletion(runner: &JobRunner, name: &InstanceId, result: Result<(), ServersError>) {
    match result {
        // The server was never created, or an interrupted deletion has removed it.
        Ok(()) | Err(ServersError::InstanceNotFound(_)) => remove(runner, name),
        Err(error) => set_status(runner, name, DbStatus::Failed, Some(&error)),
    }
}

/// Listens for a proxy, on a free port if none is given.
pub(crate) fn listen_for_proxy(
    runner: &Arc<JobRunner>,
    id: &ResourceId,
    port: Option<u16>,
) -> io::Result<ProxyListener> {
    // The runner owns the listener, which must not own the runner.
    let (weak, proxy_id) = (Arc::downgrade(runner), id.clone());
    let resolve = move || {
        let state = weak.upgrade()?.store().state().ok()?;
        proxy::target_endpoint(&state, &proxy_id)
    };
    proxy_listener::listen(runner.runtime()?, id, port, Arc::new(resolve))
}
