//! How many conversations are open at once, and who makes room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, JoinSet};

/// Conversations up to a number; all end when it is dropped.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    tasks: JoinSet<()>,
    /// In the order in which they came.
    open: VecDeque<(AbortHandle, ConnActivity)>,
}

/// Whose turn it is to speak on a connection: theirs at first.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnActivity(Arc<AtomicBool>);

impl ConnActivity {
    /// The other side is to say something.
    pub(super) fn wait(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// It has said it, and is owed an answer.
    pub(super) fn go_on(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_ours(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), open: VecDeque::new() }
    }

    /// Holds one conversation more. Where that is one too many, the oldest one in which nobody is owed an answer is ended; where
    /// there is none, the oldest.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        converse: impl FnOnce(ConnActivity) -> F,
    ) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(task, _)| !task.is_finished());
        if self.open.len() >= self.most {
            let silent = self.open.iter().position(|(_, turn)| !turn.is_ours()).unwrap_or(0);
            if let Some((task, _)) = self.open.remove(silent) {
                task.abort();
            }
        }
        let turn = ConnActivity::default();
        let task = self.tasks.spawn(converse(turn.clone()));
        self.open.push_back((task, turn));
    }

    /// Ends the conversations in which nobody is owed an answer, and waits for the others.
    pub(super) async fn finish(mut self) {
        for (task, turn) in &self.open {
            if !turn.is_ours() {
                task.abort();
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
