//! `countersign proxy` between real clients and real servers. `cargo xtask test` builds what these run.

mod access;
mod logins;
