//! [`countersign_fuzz::simulation`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(simulation);
