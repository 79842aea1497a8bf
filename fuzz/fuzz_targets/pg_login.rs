//! [`countersign_fuzz::pg_login`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_login);
