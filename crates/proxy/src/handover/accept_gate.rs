//! Whether a process accepts: what every accept loop asks before it does.

use tokio::sync::watch;

/// The door that clients come in by. Clones are the same door.
#[derive(Debug, Clone)]
pub struct AcceptGate(watch::Sender<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Paused,
    Closed,
}

impl Default for AcceptGate {
    /// An open one.
    fn default() -> Self {
        Self(watch::Sender::new(State::Open))
    }
}

impl AcceptGate {
    /// Accepts by `accept` as long as the door is open, and waits while it is paused; `None` once it is closed. `accept` is
    /// dropped when the door is shut: it must lose nothing by that, and tokio's does not.
    pub async fn accept<T, F: Future<Output = T>>(&self, accept: impl Fn() -> F) -> Option<T> {
        let mut state = self.0.subscribe();
        loop {
            let now = *state.borrow_and_update();
            // The sender is ours, so there is always one.
            match now {
                State::Closed => return None,
                State::Paused => _ = state.changed().await,
                State::Open => tokio::select! {
                    biased;
                    _ = state.changed() => {}
                    accepted = accept() => return Some(accepted),
                },
            }
        }
    }

    /// Closes it for good.
    pub fn close(&self) {
        self.0.send_replace(State::Closed);
    }

    /// Whether it is closed for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.0.borrow() == State::Closed
    }

    /// Shuts it until what is returned is dropped, or for good by [`Pause::close`]; `None` where it is shut already.
    pub(super) fn pause(&self) -> Option<Pause> {
        let was_open = self.0.send_if_modified(|state| {
            let open = *state == State::Open;
            if open {
                *state = State::Paused;
            }
            open
        });
        was_open.then(|| Pause(self.clone()))
    }
}

/// A door that is shut for a while.
#[derive(Debug)]
pub(super) struct Pause(AcceptGate);

impl Pause {
    /// It stays shut.
    pub(super) fn close(self) {
        self.0.close();
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            let paused = *state == State::Paused;
            if paused {
                *state = State::Open;
            }
            paused
        });
    }
}
