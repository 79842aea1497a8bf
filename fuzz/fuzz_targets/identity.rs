//! [`countersign_fuzz::identity`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(identity);
