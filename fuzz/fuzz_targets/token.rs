//! [`countersign_fuzz::token`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(token);
