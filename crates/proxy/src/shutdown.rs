//! How far the proxy is on its way to an end.

/// What sessions have to heed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// Nothing.
    Running,
    /// Nobody new is taken in; who is there may stay.
    Draining,
    /// Who is there has to go.
    Terminating,
}
