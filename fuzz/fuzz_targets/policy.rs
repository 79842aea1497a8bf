//! [`countersign_fuzz::policy`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(policy);
