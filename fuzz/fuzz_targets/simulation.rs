//! [`countersign_fuzz::simulation`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(simulation);
