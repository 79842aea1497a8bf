//! The proxy: it takes SQL clients in, logs in to their database by IAM, and lets them talk.

pub mod activation;
pub mod admin;
pub mod handover;
pub mod health;
pub mod inherited;
pub mod metrics;
pub mod settings;
pub mod status;
pub mod telemetry;
