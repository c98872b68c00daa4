//! Searches a process's memory for the private key of a certificate, without knowing the key.
//!
//! A P-256 private key is a number d with d·G = the public key. So every 32 bytes that could be a key are tried, in both byte
//! orders: the scan needs no help from the process that hides the key, and what it finds is the key beyond doubt.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;

/// Keys are looked for at every address that is a multiple of this: what allocators and compilers use at the least.
const STEP: usize = 8;
const KEY: usize = 32;
const CHUNK: usize = 1 << 20;

/// What a scan saw.
#[derive(Debug, Default)]
pub struct Scan {
    /// Addresses at which the key lies.
    pub found: Vec<u64>,
    /// Bytes read.
    pub bytes: u64,
    /// Places that could have been a key and were tried.
    pub tried: u64,
}

/// Scans all writable memory of a process for the private key of `public`, an uncompressed P-256 point. Needs root.
///
/// # Errors
/// The process's memory cannot be read.
pub fn scan(pid: u32, public: &[u8]) -> std::io::Result<Scan> {
    search(pid, public, false)
}

/// As [`scan`], up to the first place where the key lies.
///
/// # Errors
/// The process's memory cannot be read.
pub fn find(pid: u32, public: &[u8]) -> std::io::Result<Scan> {
    search(pid, public, true)
}

fn search(pid: u32, public: &[u8], first: bool) -> std::io::Result<Scan> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut scan = Scan::default();
    for line in BufReader::new(File::open(format!("/proc/{pid}/maps"))?).lines() {
        let line = line?;
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else {
            continue;
        };
        if rights.starts_with("rw") {
            scan.range(&memory, start, end, public);
        }
        if first && !scan.found.is_empty() {
            break;
        }
    }
    Ok(scan)
}

/// Where one of these byte strings lies in the writable memory of a process: its number and the address. Needs root.
///
/// # Errors
/// The process's memory cannot be read.
pub fn occurrences(pid: u32, wanted: &[&[u8]]) -> std::io::Result<Vec<(usize, u64)>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let longest = wanted.iter().map(|bytes| bytes.len()).max().unwrap_or(0);
    let mut found = Vec::new();
    for line in BufReader::new(File::open(format!("/proc/{pid}/maps"))?).lines() {
        let line = line?;
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        let ends = range
            .split_once('-')
            .map(|(start, end)| [start, end].map(|end| u64::from_str_radix(end, 16)));
        let Some([Ok(start), Ok(end)]) = ends else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let mut buffer = vec![0; CHUNK + longest];
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let Ok(got) = memory.read_at(&mut buffer[..want], at) else {
                at += 4096;
                continue;
            };
            if got == 0 {
                break;
            }
            for (number, bytes) in wanted.iter().enumerate() {
                let places = memchr::memmem::find_iter(&buffer[..got], bytes);
                found.extend(
                    places
                        .filter(|place| *place < CHUNK)
                        .map(|place| (number, at + place as u64)),
                );
            }
            at += got.min(CHUNK) as u64;
        }
    }
    Ok(found)
}

impl Scan {
    fn range(&mut self, memory: &File, start: u64, end: u64, public: &[u8]) {
        let mut buffer = vec![0; CHUNK + KEY];
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            // A page that cannot be read is a guard page: the rest of the range may be readable.
            let Ok(got) = memory.read_at(&mut buffer[..want], at) else {
                at += 4096;
                continue;
            };
            if got == 0 {
                break;
            }
            self.bytes += got as u64;
            for offset in (0..got.saturating_sub(KEY - 1).min(CHUNK)).step_by(STEP) {
                if let Ok(window) = <&[u8; KEY]>::try_from(&buffer[offset..offset + KEY])
                    && could_be_a_key(window)
                {
                    self.tried += 1;
                    if is_key(window, public) {
                        self.found.push(at + offset as u64);
                    }
                }
            }
            at += got.min(CHUNK) as u64;
        }
    }
}

/// Random bytes have many different values; text, pointers and counters have few. Of random 32-byte strings one in five thousand has
/// under 24 different bytes.
fn could_be_a_key(window: &[u8; KEY]) -> bool {
    let mut seen = [0_u64; 4];
    for byte in window {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|word| word.count_ones()).sum::<u32>() >= 24
}

fn is_key(window: &[u8; KEY], public: &[u8]) -> bool {
    let matches = |scalar: &[u8]| {
        let key = PrivateKey::from_private_key(&ECDH_P256, scalar);
        key.is_ok_and(|key| {
            key.compute_public_key()
                .is_ok_and(|computed| computed.as_ref() == public)
        })
    };
    let mut reversed = *window;
    reversed.reverse();
    matches(window) || matches(&reversed)
}

#[cfg(test)]
mod tests {
    use super::scan;
    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
    use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};

    #[test]
    fn the_scan_finds_a_key_in_either_byte_order_and_no_other() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = key.compute_public_key().unwrap();
        let scalar: EcPrivateKeyBin<'_> = key.as_be_bytes().unwrap();
        let mut kept: Vec<u8> = scalar.as_ref().to_vec();
        kept.reverse();
        let found = scan(std::process::id(), public.as_ref()).unwrap();
        assert!(found.found.contains(&(kept.as_ptr() as u64)), "{found:?}");
        // RFC 6979 A.2.5: a public key whose private key this process does not have.
        let other = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                     7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
        let other: Vec<u8> = (0..other.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&other[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(scan(std::process::id(), &other).unwrap().found, [0; 0]);
    }
}
