//! Handshake messages that come in part: none of them ends more than its own connection.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use common::{HOST, PATIENCE, Rig, Scripted};
use rustls::ConnectionTrafficSecrets;
use std::io::{Read, Write};
use std::net::TcpStream;

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;

fn rig() -> Rig {
    let upstream = Scripted::answering(OK);
    Rig::start(upstream.address, |_| {})
}

fn get() -> String {
    format!("GET / HTTP/1.1\nHost: {HOST}\n\n")
}

/// A TLS 1.3 client after its handshake, which writes records as it likes.
struct Raw {
    socket: TcpStream,
    key: LessSafeKey,
    nonce: [u8; 12],
    sequence: u64,
}

impl Raw {
    fn connect(rig: &Rig) -> Self {
        let stream = rig.client().stream;
        let (sequence, secrets) = stream.conn.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("rustls prefers another suite now")
        };
        Self {
            socket: stream.sock,
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap()),
            nonce: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// RFC 8446 section 5.2.
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.nonce;
        let sequence = self.sequence.to_be_bytes();
        nonce[4..]
            .iter_mut()
            .zip(sequence)
            .for_each(|(byte, number)| *byte ^= number);
        self.sequence += 1;
        let mut inner = [content, &[kind]].concat();
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let head = [APPLICATION, 3, 3, length[0], length[1]];
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(head), &mut inner)
            .unwrap();
        [&head[..], &inner].concat()
    }

    fn end(mut self) {
        // Whatever the answer is, it ends.
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest);
    }
}

#[test]
fn an_impossible_hello_ends_its_own_connection_only() {
    let rig = rig();
    let mut other = rig.client();
    for hello in [
        &b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"[..],
        b"\x16\x03\x01\x00\x04\x01\x00\x40\x00",
        b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\x16\x03\x01\x00\x04\xff\xff\xff\xff",
        b"\x16\x03\x01\x00\x02\x01\x00\x15\x03\x03\x00\x02\x02\x28",
    ] {
        for cut in 1..=hello.len() {
            let mut socket = TcpStream::connect(rig.address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(&hello[..cut]).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
        }
    }
    assert_eq!(other.ask(&get()).text(), "ok");
    assert_eq!(rig.ask(&get()).text(), "ok");
}

#[test]
fn a_key_update_in_part_around_requests_ends_its_own_connection_at_most() {
    let rig = rig();
    let mut other = rig.client();
    let request = get().replace('\n', "\r\n");
    for part in [
        &b"\x18"[..],
        b"\x18\0",
        b"\x18\0\0",
        b"\x18\0\0\x01",
        b"\x18\xff\xff\xff",
        b"\x18\0\0\x01\x02",
    ] {
        for request_first in [true, false] {
            let mut client = Raw::connect(&rig);
            let mut records = [
                client.record(APPLICATION, request.as_bytes()),
                client.record(HANDSHAKE, part),
            ];
            if !request_first {
                client.sequence -= 2;
                records = [
                    client.record(HANDSHAKE, part),
                    client.record(APPLICATION, request.as_bytes()),
                ];
            }
            client.socket.write_all(&records.concat()).unwrap();
            client.end();
        }
    }
    assert_eq!(other.ask(&get()).text(), "ok");
    assert_eq!(rig.ask(&get()).text(), "ok");
}

#[test]
fn a_key_update_in_two_records_is_one_message() {
    let rig = rig();
    let mut client = Raw::connect(&rig);
    let request = get()
        .replace('\n', "\r\n")
        .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let (first, second) = request.split_at(10);
    // `update_not_requested`: after it this client's key is another, so the request comes before its second half.
    let records = [
        client.record(APPLICATION, first.as_bytes()),
        client.record(APPLICATION, second.as_bytes()),
        client.record(HANDSHAKE, b"\x18\0\0"),
        client.record(HANDSHAKE, b"\x01\0"),
    ];
    client.socket.write_all(&records.concat()).unwrap();
    let mut answer = Vec::new();
    client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = client.socket.read_to_end(&mut answer);
    assert!(answer.len() > 100, "an answer came: {} bytes", answer.len());
    assert_eq!(rig.ask(&get()).text(), "ok");
}
