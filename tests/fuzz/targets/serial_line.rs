//! Whatever comes over the serial line: the menu asks for nothing that ends the machine unless its words were typed, keeps its
//! buffers bounded, and sends a terminal nothing but what a VT100 understands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_ipc::messages::machine::{DataState, MachineFacts, MachineReply, MachineRequest};
use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_ipc::messages::update::{UpdateReply, UpdateRequest};
use redan_provision::menu::Menu;
use redan_provision::world::World;
use redan_types::SecretString;
use std::fs::File;
use std::time::Duration;

/// A machine whose data are locked: all that needs no PIN can be reached.
struct Locked;

impl World for Locked {
    fn ask(&mut self, _: &OperatorRequest) -> Result<OperatorReply, String> {
        Err("nobody\u{1b}[2J answers".to_owned())
    }

    fn machine(&mut self, request: &MachineRequest) -> Result<MachineReply, String> {
        match request {
            MachineRequest::Facts => Ok(MachineReply::Facts(Box::new(MachineFacts {
                version: "0.1.0\u{1b}[31m".to_owned(),
                data: DataState::Locked {
                    reason: "PCR 7\r\n\u{9b}differs".to_owned(),
                },
                ..MachineFacts::default()
            }))),
            _ => Err("refused".to_owned()),
        }
    }

    fn told_password(&mut self) -> Option<SecretString> {
        None
    }

    fn update(&mut self, _: &UpdateRequest) -> Result<UpdateReply, String> {
        Err("nobody answers".to_owned())
    }

    fn stick(&mut self) -> Option<File> {
        None
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut menu = Menu::new(Locked);
    let mut now = Duration::ZERO;
    menu.begin(now);
    for portion in bytes.chunks(16) {
        menu.take(portion, now);
        now += Duration::from_secs(u64::from(portion[0]));
        menu.tick(now);
        let mut sent = menu.take_output();
        assert!(sent.len() < 1 << 20);
        for sequence in [&b"\x1b[0m"[..], b"\x1b[2J", b"\x1b[H"] {
            while let Some(at) = sent.windows(sequence.len()).position(|window| window == sequence) {
                sent.drain(at..at + sequence.len());
            }
        }
        assert!(sent.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | 0x07 | 0x08)));
    }
});
