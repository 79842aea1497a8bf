//! [`countersign_fuzz::verify_response`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(verify_response);
