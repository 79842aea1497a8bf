//! [`countersign_fuzz::pg_server`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_server);
