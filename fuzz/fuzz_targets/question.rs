//! [`countersign_fuzz::question`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(question);
