//! [`countersign_fuzz::request`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(request);
