//! Sticks as operators make them: a FAT volume, and signatures in minisign's form.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use std::fs::File;
use std::io::{Read, Seek, Write};

const SIZE: u64 = 8 << 20;
const NUMBER: [u8; 8] = *b"operator";

/// A stick, of which this is one more handle.
#[derive(Debug)]
pub struct Volume(pub File);

impl Volume {
    /// With the appliance's label and these files.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        Self::labelled(*b"REDAN      ", files)
    }

    /// With any label.
    pub fn labelled(label: [u8; 11], files: &[(&str, &[u8])]) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        let options = FormatVolumeOptions::new()
            .volume_label(label)
            .fat_type(FatType::Fat16)
            .bytes_per_cluster(512);
        format_volume(&mut file, options).unwrap();
        let volume = FileSystem::new(&mut file, FsOptions::new()).unwrap();
        for (name, content) in files {
            volume.root_dir().create_file(name).unwrap().write_all(content).unwrap();
        }
        volume.unmount().unwrap();
        Self(file)
    }

    /// What goes into the appliance.
    pub fn plug(&self) -> File {
        self.0.try_clone().unwrap()
    }

    /// What a file on it holds, or `None`.
    pub fn read(&self, name: &str) -> Option<String> {
        // All handles of a file share one place in it.
        let mut file = self.plug();
        file.rewind().unwrap();
        let volume = FileSystem::new(file, FsOptions::new()).unwrap();
        let mut text = String::new();
        volume
            .root_dir()
            .open_file(name)
            .ok()?
            .read_to_string(&mut text)
            .unwrap();
        Some(text)
    }
}

/// An operator's key.
#[derive(Debug)]
pub struct Operator(Ed25519KeyPair);

impl Operator {
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap())
    }

    /// As it stands in the configuration.
    pub fn public(&self) -> String {
        STANDARD.encode([b"Ed".as_slice(), &NUMBER, self.0.public_key().as_ref()].concat())
    }

    /// The signature's file.
    pub fn sign(&self, document: &str) -> String {
        let comment = "a stick";
        let signature = self.0.sign(document.as_bytes());
        let all = self.0.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        format!(
            "untrusted comment: a stick\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode([b"Ed".as_slice(), &NUMBER, signature.as_ref()].concat()),
            STANDARD.encode(all.as_ref())
        )
    }
}
