//! Recovery after a restart, even after `kill -9`: no instance stays in a transitional status.

use std::sync::Arc;

use countersign_authority::model::DbInstance;
use countersign_authority::store::State;

use super::job_runner::JobRunner;
use super::jobs::{listen_for_proxy, resume, run_transition};

/// Listens for this authority's proxies and resumes the transitions of its instances. A server
/// whose creation was interrupted exists completely or not at all.
pub(crate) fn recover(runner: &Arc<JobRunner>) {
    let state = match runner.store().state() {
        Ok(state) => state,
        Err(error) => {
            return tracing::error!(%error, "cannot read the store: transitions are not resumed");
        }
    };
    listen_for_proxies(runner, &state);
    let interrupted: Vec<Arc<DbInstance>> = state
        .db_instances
        .values()
        .filter(|db| db.runner == runner.name() && db.status.is_transitional())
        .cloned()
        .collect();
    if interrupted.is_empty() {
        return;
    }
    let runner = Arc::clone(runner);
    let spawned = std::thread::Builder::new()
        .name("rds recovery".to_owned())
        .spawn(move || resume_all(&runner, &interrupted));
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot spawn a thread: transitions are not resumed");
    }
}

fn resume_all(runner: &Arc<JobRunner>, interrupted: &[Arc<DbInstance>]) {
    for db in interrupted {
        tracing::info!(instance = %db.name, status = db.status.as_str(), "transition resumed");
        match (runner.permit(), runner.servers()) {
            (Ok(permit), _) => resume(permit, db.name.clone(), db.status),
            (Err(_), Ok(servers)) => run_transition(runner, servers, &db.name, db.status),
            (Err(_), Err(_)) => return,
        }
    }
}

fn listen_for_proxies(runner: &Arc<JobRunner>, state: &State) {
    for proxy in state.db_proxies.values().filter(|proxy| proxy.runner == runner.name()) {
        match listen_for_proxy(runner, &proxy.resource_id, Some(proxy.port)) {
            Ok(listener) => runner.listeners().insert(proxy.resource_id.clone(), listener),
            Err(error) => {
                let (proxy, port) = (&proxy.name, proxy.port);
                tracing::error!(%proxy, port, %error, "cannot listen for a proxy");
            }
        }
    }
}
