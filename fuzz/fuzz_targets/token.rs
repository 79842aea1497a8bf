//! [`countersign_fuzz::token`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(token);
