//! The world around a proxy.

use countersign_connect::clock::Clock;
use countersign_connect::resolve::Resolver;

use crate::workers::Workers;

/// What a proxy is given of the world.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time.
    pub clock: Clock,
    /// What asks DNS.
    pub resolver: Resolver,
    /// The threads that clients are served on.
    pub workers: Workers,
    /// The region that the environment names.
    pub environment_region: Option<String>,
}
