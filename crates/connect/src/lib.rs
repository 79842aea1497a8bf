//! Client side of a login to a database with AWS IAM: credentials, tokens, regions, database URLs,
//! name resolution, TLS and connections.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use countersign_connect::clock::Clock;
//! use countersign_connect::credentials_cache::CredentialsConfig;
//! use countersign_connect::dialer::{Dialer, DialerConfig, ServerAuth};
//! use countersign_connect::resolve::Resolver;
//! use countersign_connect::tls::Verification;
//! use countersign_core::name::Engine;
//! use tokio::time::{Duration, Instant};
//!
//! let config = DialerConfig {
//!     engine: Engine::Postgres,
//!     host: "orders.abc123.us-east-1.rds.amazonaws.com".parse()?,
//!     port: 5432,
//!     sign_for: None,
//!     region: None,
//!     environment_region: None,
//!     auth: ServerAuth::Iam(CredentialsConfig::default()),
//!     verification: Verification::VerifyFull,
//!     logins_per_second: 100,
//! };
//! let dialer = Dialer::new(config, None, Resolver::system(), Clock::system())?;
//! dialer.probe(Instant::now() + Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

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
