//! [`countersign_fuzz::answer`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(answer);
