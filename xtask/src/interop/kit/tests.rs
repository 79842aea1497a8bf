use super::numbers;

#[test]
fn versions_are_read_as_the_programs_say_them() {
    assert_eq!(numbers("v18.20.4"), Some((18, 20)));
    assert_eq!(numbers("go version go1.19.8 linux/amd64"), Some((1, 19)));
    assert_eq!(numbers("go version devel"), None);
}
