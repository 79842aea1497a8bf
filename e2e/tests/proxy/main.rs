//! End-to-end tests of `countersign proxy` between real clients and real servers. `cargo xtask
//! test` builds the programs that they run.

mod access;
mod clock;
mod connect_target;
mod credentials;
mod dns;
mod failover;
mod hostile;
mod library;
mod logins;
mod mysql;
mod operation;
mod pool;
mod postgres;
mod raw;
mod secrets;
mod takeover;
