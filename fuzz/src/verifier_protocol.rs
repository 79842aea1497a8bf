use std::io::{self, Cursor, Read, Write};

use countersign_core::name::Engine;
use countersign_core::verifier_protocol::{
    MAX_REQUEST, Nonce, VerifyRequest, frame, frame_length, round_trip,
};
use zeroize::Zeroizing;

/// What a server's module sends to the verifier: what is understood can be said again, and is
/// understood the same.
pub fn question(data: &[u8]) {
    let Ok(question) = VerifyRequest::parse(data) else {
        return;
    };
    let Ok(said) = frame(&question, data.len()) else {
        return;
    };
    let Some((head, body)) = said.split_first_chunk() else {
        return;
    };
    assert_eq!(
        frame_length(*head, usize::MAX).ok(),
        Some(body.len()),
        "a frame announces another length than its own"
    );
    if body.len() <= MAX_REQUEST {
        let again = VerifyRequest::parse(body).and_then(|again| frame(&again, body.len())).ok();
        assert!(
            again.is_some_and(|again| again == said),
            "a question is not understood when it is said again"
        );
    }
}

/// What a verifier, or whatever sits behind the socket, answers to a server's module.
pub fn answer(data: &[u8]) {
    let Some(question) = asked() else { return };
    if round_trip(&mut Answering(Cursor::new(data)), &question).is_ok() {
        assert!(
            data.windows(5).any(|word| word == b"allow"),
            "a login was allowed without the word"
        );
    }
}

fn asked() -> Option<VerifyRequest> {
    let token = Zeroizing::new("token".to_owned());
    Some(VerifyRequest::new(
        Nonce([7; 16]),
        Engine::Postgres,
        "orders".parse().ok()?,
        "jane_doe".parse().ok()?,
        token,
    ))
}

/// Takes whatever is asked and answers with the input.
struct Answering<'a>(Cursor<&'a [u8]>);

impl Read for Answering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Answering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
