//! [`countersign_fuzz::mysql_stream`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(mysql_stream);
