use countersign_core::policy::simulation::Simulation;
use countersign_core::policy::{Policy, PolicyKind, Verdict};

/// Policy document: parsed as each kind of policy.
pub fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for kind in [
        PolicyKind::Identity,
        PolicyKind::ServiceControl,
        PolicyKind::ResourceControl,
        PolicyKind::Resource,
    ] {
        if let Err(mistakes) = Policy::parse(text, kind) {
            assert!(!mistakes.as_slice().is_empty(), "a policy was rejected without a diagnostic");
        }
    }
}

/// Simulation with all its policies: decided and explained.
pub fn simulation(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(simulation) = Simulation::parse(text) else {
        return;
    };
    let outcome = simulation.run();
    assert!(!outcome.reason.is_empty(), "a decision has no reason");
    assert!(
        outcome.decision != Verdict::Allowed || !outcome.matched.is_empty(),
        "a request was allowed without a statement"
    );
    let _ = simulation.explain();
}
