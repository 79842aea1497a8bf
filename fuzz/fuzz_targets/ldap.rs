//! [`countersign_fuzz::ldap`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(ldap);
