//! [`countersign_fuzz::mysql_stream`], fuzzed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(mysql_stream);
