//! The client half: where AWS credentials come from, which region a token is signed for, and what a database URL says.

pub mod credentials;
pub mod region;
pub mod target;
pub mod transport;
