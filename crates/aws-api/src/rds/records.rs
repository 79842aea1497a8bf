//! Records of the store: pure functions over a state or a draft.

pub(super) mod cluster;
pub(super) mod instance;
pub(super) mod proxy;
