//! Gate of the accept loops of a process.

use tokio::sync::watch;

/// Opens, pauses or ends the accept loops that use it. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct AcceptGate(watch::Sender<GateState>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GateState {
    Open,
    Paused,
    Closed,
}

impl Default for AcceptGate {
    /// Returns an open gate.
    fn default() -> Self {
        Self(watch::Sender::new(GateState::Open))
    }
}

impl AcceptGate {
    /// Calls `accept` while the gate is open, and waits while it is paused. Returns `None` after
    /// it was closed. If the gate changes, the future of `accept` is dropped: it must be
    /// cancel-safe, as tokio's are.
    pub async fn accept<T, F: Future<Output = T>>(&self, accept: impl Fn() -> F) -> Option<T> {
        let mut state = self.0.subscribe();
        loop {
            let current = *state.borrow_and_update();
            // `changed` cannot fail: `self` holds a sender.
            match current {
                GateState::Closed => return None,
                GateState::Paused => _ = state.changed().await,
                GateState::Open => tokio::select! {
                    biased;
                    _ = state.changed() => {}
                    accepted = accept() => return Some(accepted),
                },
            }
        }
    }

    /// Closes the gate permanently.
    pub fn close(&self) {
        self.0.send_replace(GateState::Closed);
    }

    /// Returns true if the gate is permanently closed.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        *self.0.borrow() == GateState::Closed
    }

    /// Pauses the gate until the guard is dropped or closed; `None` if it is not open.
    pub(super) fn pause(&self) -> Option<PauseGuard> {
        let was_open = self.0.send_if_modified(|state| {
            let is_open = *state == GateState::Open;
            if is_open {
                *state = GateState::Paused;
            }
            is_open
        });
        was_open.then(|| PauseGuard(self.clone()))
    }
}

/// Keeps a gate paused until it is dropped.
#[derive(Debug)]
pub(super) struct PauseGuard(AcceptGate);

impl PauseGuard {
    /// Closes the gate permanently.
    pub(super) fn close(self) {
        self.0.close();
    }
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            let is_paused = *state == GateState::Paused;
            if is_paused {
                *state = GateState::Open;
            }
            is_paused
        });
    }
}
