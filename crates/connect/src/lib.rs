//! The client half: where AWS credentials come from, which region a token is signed for, what a database URL says, and how a
//! database is reached.

pub mod clock;
pub mod credentials;
pub mod credentials_cache;
pub mod database_url;
pub mod dialer;
pub mod drive;
pub mod happy_eyeballs;
pub mod login_rate_limiter;
pub mod region;
pub mod resolve;
mod resolved_addrs;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod token_cache;
pub mod transport;
