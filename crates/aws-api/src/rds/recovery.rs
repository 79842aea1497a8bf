//! What was begun when the authority ended, by `kill -9` too: nothing stays on its way for good.

use std::sync::Arc;

use super::instance::lifecycle::{finish, go_on};
use super::job_runner::JobRunner;
use super::proxy;
use countersign_authority::model::DbInstance;
use countersign_authority::store::State;

/// Listens for this authority's proxies, and goes on with its servers: one that was being made is there whole or not at all.
pub(super) fn begin(runner: &Arc<JobRunner>) {
    let state = match runner.store().state() {
        Ok(state) => state,
        Err(error) => {
            return tracing::error!(%error, "what was begun on servers is not known, and not gone on with");
        }
    };
    proxy::listen_again(runner, &state);
    let begun = begun(runner, &state);
    if begun.is_empty() {
        return;
    }
    let runner = Arc::clone(runner);
    let spawned = std::thread::Builder::new()
        .name("rds recovery".to_owned())
        .spawn(move || go_on_with(&runner, &begun));
    if let Err(error) = spawned {
        tracing::error!(%error, "there is no thread to go on with what was begun on servers");
    }
}

fn begun(runner: &JobRunner, state: &State) -> Vec<Arc<DbInstance>> {
    let begun = state
        .db_instances
        .values()
        .filter(|db| db.runner == runner.name() && db.status.is_transitional());
    begun.cloned().collect()
}

fn go_on_with(runner: &Arc<JobRunner>, begun: &[Arc<DbInstance>]) {
    for db in begun {
        tracing::info!(instance = %db.name, status = db.status.as_str(), "going on with what was begun on a server");
        match (runner.permit(), runner.servers()) {
            (Ok(permit), _) => go_on(permit, db.name.clone(), db.status),
            (Err(_), Ok(servers)) => finish(runner, servers, &db.name, db.status),
            (Err(_), Err(_)) => return,
        }
    }
}
