//! [`countersign_fuzz::mysql_client`] as a fuzz target.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(mysql_client);
