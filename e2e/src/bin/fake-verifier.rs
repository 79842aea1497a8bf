//! A verifier that misbehaves: `fake-verifier SOCKET hang|garbage|allow|close`.
//!
//! `allow` sends valid responses that allow every login; a module must reject them if they come
//! from another user's process.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use countersign_core::verifier_protocol::{VerifyRequest, VerifyResponse, frame};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, mode] = arguments.as_slice() else {
        panic!("usage: fake-verifier SOCKET hang|garbage|allow|close")
    };
    let listener = UnixListener::bind(socket).expect("the socket can be bound");
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))
        .expect("it can be opened to all");
    println!("ready");
    let mut held = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        match mode.as_str() {
            "hang" => held.push(stream),
            "garbage" => drop(stream.write_all(&[0xff; 4096])),
            "allow" => allow(&mut stream),
            "close" => drop(stream),
            other => panic!("no mode {other}"),
        }
    }
}

fn allow(stream: &mut UnixStream) {
    let mut head = [0; 4];
    if stream.read_exact(&mut head).is_err() {
        return;
    }
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).expect("the question");
    let nonce = VerifyRequest::parse(&body).expect("a proper question").nonce();
    stream
        .write_all(&frame(&VerifyResponse::Allow { nonce }, 256).expect("an answer"))
        .expect("the answer is taken");
    println!("allowed");
}
