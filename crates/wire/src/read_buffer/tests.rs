use super::ReadBuffer;

#[test]
fn what_comes_is_unread_until_it_is_consumed() {
    let mut inbox = ReadBuffer::default();
    inbox.push(b"one ");
    inbox.push(b"two");
    inbox.consume(4);
    assert_eq!(inbox.unread(), b"two");
    inbox.push(b" three");
    assert_eq!(inbox.unread(), b"two three");
    inbox.consume(usize::MAX);
    assert!(inbox.is_empty());
    assert_eq!(inbox.bytes.capacity(), 0, "an idle connection holds nothing");
}

/// A server that sends messages without end, each with the beginning of the next, would fill the memory.
#[test]
fn what_is_consumed_makes_room() {
    let mut inbox = ReadBuffer::default();
    inbox.push(b"x");
    for _ in 0..10_000 {
        inbox.push(&[b'y'; 1000]);
        inbox.consume(1000);
        assert!(inbox.bytes.capacity() <= 4096, "{}", inbox.bytes.capacity());
    }
    assert_eq!(inbox.unread(), b"y");
}

#[test]
fn what_it_holds_is_not_shown() {
    let mut inbox = ReadBuffer::default();
    inbox.push(b"hunter2");
    assert_eq!(format!("{inbox:?}"), "ReadBuffer(7 bytes)");
}
