//! [`countersign_fuzz::ldap`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(ldap);
