//! [`countersign_fuzz::pg_dial`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(pg_dial);
