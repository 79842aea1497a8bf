use super::Sum;

#[test]
fn cargo_s_closing_lines_are_added_up() {
    let mut sum = Sum::default();
    sum.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n");
    sum.add("test result: FAILED. 23 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 108.65s\n");
    sum.add("test result::says::nothing ... ok\n");
    assert_eq!(sum, Sum { passed: 26, failed: 2, ignored: 1 });
}
