//! [`countersign_fuzz::pg_stream`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_stream);
