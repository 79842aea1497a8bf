//! [`countersign_fuzz::pg_stream`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_stream);
