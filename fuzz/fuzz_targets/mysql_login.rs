//! [`countersign_fuzz::mysql_login`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(mysql_login);
