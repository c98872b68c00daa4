//! Durable appends a second, for `tests/bench/vault`: the audit log of a vault, or a preallocated raw file with the same grouping.
//!
//! usage: `appends vault|raw WRITERS SECONDS FOLDER`; prints appends a second and the median and 99th percentile of the time that a
//! writer waited for its acknowledgement, in microseconds. Each writer waits for its own acknowledgement before it goes on.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a measuring program: what fails ends it")]

use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_types::Timestamp;
use redan_vault::service::Vault;
use redan_vault::store::{GroupCommit, StateFolder};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const PAYLOAD: usize = 300;
/// As the store's.
const GROUP: usize = 1 << 20;
const RAW_FILE: u64 = 256 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, writers, seconds, folder] = arguments.as_slice() else {
        eprintln!("usage: appends vault|raw WRITERS SECONDS FOLDER");
        std::process::exit(2);
    };
    let writers: u64 = writers.parse().unwrap();
    let time = Duration::from_secs_f64(seconds.parse().unwrap());
    match mode.as_str() {
        "vault" => vault(writers, time, Path::new(folder)),
        _ => raw(writers, time, Path::new(folder)),
    }
}

fn vault(writers: u64, time: Duration, folder: &Path) {
    let state = StateFolder::lock(folder).unwrap();
    let device = Arc::new(SoftwareDevice::open(folder).unwrap());
    let (vault, _) = Vault::open(&state, device, || Timestamp::from_system(SystemTime::now())).unwrap();
    measure(writers, time, |writer, number| {
        let event = AuditEvent {
            time: Timestamp::from_system(SystemTime::now()),
            actor: Actor::User(format!("user-{writer}")),
            action: "measured".to_owned(),
            resource: format!("writer/{writer}"),
            outcome: Outcome::Succeeded,
            before: None,
            after: None,
            address: None,
            agent: None,
            request: None,
            incident: None,
            message: format!("{number:0PAYLOAD$}"),
        };
        vault.record(&[event]).unwrap();
    });
    vault.close();
}

fn raw(writers: u64, time: Duration, folder: &Path) {
    let path = folder.join("raw");
    let mut file = File::create(&path).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..RAW_FILE >> 20 {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    let offset = AtomicU64::new(0);
    let group = GroupCommit::<Vec<u8>, ()>::new(GROUP);
    measure(writers, time, |writer, number| {
        let record = format!("{writer:08}{number:0width$}", width = PAYLOAD - 8).into_bytes();
        let place = group.join(record, PAYLOAD, 1);
        group.finish(&place, |members| {
            let bytes = members
                .iter()
                .flat_map(|member| member.job.iter().copied())
                .collect::<Vec<u8>>();
            let at = offset.fetch_add(bytes.len() as u64, Ordering::Relaxed) % (RAW_FILE - (2 << 20));
            file.write_all_at(&bytes, at).unwrap();
            file.sync_data().unwrap();
        });
    });
    std::fs::remove_file(path).unwrap();
}

fn measure(writers: u64, time: Duration, append: impl Fn(u64, u64) + Sync) {
    // The first append of a writer makes what it needs (a person's key).
    let (ready, over) = (
        std::sync::Barrier::new(usize::try_from(writers).unwrap() + 1),
        AtomicBool::new(false),
    );
    let mut waits: Vec<u32> = Vec::new();
    let mut elapsed = Duration::ZERO;
    std::thread::scope(|scope| {
        let (ready, over, append) = (&ready, &over, &append);
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                scope.spawn(move || {
                    append(writer, 0);
                    ready.wait();
                    let mut waits = Vec::new();
                    for number in 1.. {
                        let begin = Instant::now();
                        append(writer, number);
                        waits.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    waits
                })
            })
            .collect();
        ready.wait();
        let begin = Instant::now();
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            waits.extend(thread.join().unwrap());
        }
        elapsed = begin.elapsed();
    });
    waits.sort_unstable();
    let rate = u128::from(waits.len() as u64) * 1_000_000 / elapsed.as_micros();
    println!("{rate} {} {}", waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
}
