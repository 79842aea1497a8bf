//! [`countersign_fuzz::pg_client`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_client);
