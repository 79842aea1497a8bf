//! [`countersign_fuzz::verify_request`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(verify_request);
