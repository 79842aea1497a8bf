//! The proxy: it takes SQL clients in, logs in to their database by IAM, and lets them talk.

pub mod settings;
