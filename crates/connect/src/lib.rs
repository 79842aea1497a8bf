//! The client half: where AWS credentials come from, which region a token is signed for, what a database URL says, and how a
//! database is reached.

pub mod budget;
pub mod clock;
pub mod credentials;
pub mod dialer;
pub mod drive;
pub mod identity;
pub mod region;
pub mod resolve;
pub mod target;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod tokens;
pub mod transport;
mod whereabouts;
