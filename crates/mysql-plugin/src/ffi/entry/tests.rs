use std::ptr::null_mut;

use super::super::abi::CR_ERROR;
use super::{authenticate_mariadb, authenticate_mysql, guarded};

#[test]
fn a_panic_denies() {
    assert_eq!(guarded(CR_ERROR, || panic!("a defect")), CR_ERROR);
}

#[test]
fn null_pointers_deny() {
    // SAFETY: null pointers are checked.
    unsafe {
        assert_eq!(authenticate_mariadb(null_mut(), null_mut()), CR_ERROR);
        assert_eq!(authenticate_mysql(null_mut(), null_mut()), CR_ERROR);
    }
}
