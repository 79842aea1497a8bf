//! [`countersign_fuzz::mysql_dial`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(mysql_dial);
