use std::io::{self, Cursor, Read, Write};

use countersign_core::name::Engine;
use countersign_core::verifier_protocol::{
    MAX_REQUEST, Nonce, VerifyRequest, frame, frame_length, round_trip,
};
use zeroize::Zeroizing;

/// Request of a server's module to the verifier: encoding a parsed request and parsing it again
/// changes nothing.
pub fn verify_request(data: &[u8]) {
    let Ok(request) = VerifyRequest::parse(data) else {
        return;
    };
    let Ok(encoded) = frame(&request, data.len()) else {
        return;
    };
    let Some((head, body)) = encoded.split_first_chunk() else {
        return;
    };
    assert_eq!(
        frame_length(*head, usize::MAX).ok(),
        Some(body.len()),
        "a frame has a wrong length"
    );
    if body.len() <= MAX_REQUEST {
        let again = VerifyRequest::parse(body).and_then(|again| frame(&again, body.len())).ok();
        assert!(
            again.is_some_and(|again| again == encoded),
            "an encoded request is parsed differently"
        );
    }
}

/// Response of a verifier to a server's module.
pub fn verify_response(data: &[u8]) {
    let Some(request) = sent_request() else { return };
    if round_trip(&mut Replay(Cursor::new(data)), &request).is_ok() {
        assert!(
            data.windows(5).any(|word| word == b"allow"),
            "a login was allowed without the word \"allow\""
        );
    }
}

fn sent_request() -> Option<VerifyRequest> {
    let token = Zeroizing::new("token".to_owned());
    Some(VerifyRequest::new(
        Nonce([7; 16]),
        Engine::Postgres,
        "orders".parse().ok()?,
        "jane_doe".parse().ok()?,
        token,
    ))
}

/// Stream that ignores writes and returns the input.
struct Replay<'a>(Cursor<&'a [u8]>);

impl Read for Replay<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Replay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
