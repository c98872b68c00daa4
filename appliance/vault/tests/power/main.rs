//! Power cuts, kills and disk errors, as SQLite tests them.
//!
//! The store runs on ext4 on a loop device on a disk of our own, which writes down every write and every flush (`disk`). Processes
//! that write are killed at random points and started again (`stage`); the disk fails at random points. From the history images are
//! built as a power cut at any moment may leave them: everything flushed, and of the rest any subset, torn and reordered at the
//! size of a sector (`history`). Each is mounted, the store opened, and everything that was acknowledged looked for (`store_load`,
//! `audit_load`).
//!
//! The disk may refuse every flush from some point on, and may also fail one and take the next for done, though it has dropped what
//! was to be flushed. Where the failed one was asked for by the file system's own journal, nobody who writes is told: after that the
//! store may have lost what it acknowledged, but never has half of anything.
//!
//! Forty cuts in the ordinary run, over a thousand where `REDAN_TEST_ALL` is set. Needs root, FUSE and loop devices; elsewhere it
//! says that it is skipped.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where its assumptions do"
)]

mod audit_load;
mod disk;
mod history;
mod load;
mod stage;
mod store_load;

use history::{Cutter, History, Loss, Operation, Random};
use load::{Told, Wrong};
use stage::{Mount, ROLE, Stage, mount_image, play};
use std::path::Path;
use std::process::Command;

/// Not a test by itself: what a child of the tests below does.
#[test]
fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split('\n').collect();
    match words.as_slice() {
        ["disk", mountpoint, image, history] => {
            disk::serve(Path::new(mountpoint), Path::new(image), Path::new(history)).unwrap();
        }
        ["store", folder, acks, _] => store_load::write(Path::new(folder), &Told::open(Path::new(acks))),
        ["audit", folder, acks, generation] => {
            audit_load::write(
                Path::new(folder),
                &Told::open(Path::new(acks)),
                generation.parse().unwrap(),
            );
        }
        ["director", load, seed, histories, cuts] => {
            direct(
                load,
                seed.parse().unwrap(),
                histories.parse().unwrap(),
                cuts.parse().unwrap(),
            );
        }
        _ => panic!("no such role: {words:?}"),
    }
}

#[test]
fn the_store_survives_power_cuts_kills_and_disk_errors() {
    perform("store", 1, (2, 12), ALL_STORE);
}

#[test]
fn the_audit_log_survives_power_cuts_kills_and_disk_errors() {
    perform("audit", 2, (2, 8), ALL_AUDIT);
}

/// Histories, and cuts of each, where all tests were asked for: at least a thousand in all.
const ALL_STORE: (usize, usize) = (20, 40);
const ALL_AUDIT: (usize, usize) = (16, 25);
const _: () = assert!(ALL_STORE.0 * ALL_STORE.1 + ALL_AUDIT.0 * ALL_AUDIT.1 >= 1_000);

/// Runs a director in a mount namespace of its own: so many histories and cuts of each, or more where all tests were asked for.
fn perform(load: &str, seed: u64, ordinary: (usize, usize), all: (usize, usize)) {
    if let Some(missing) = missing() {
        eprintln!("SKIPPED: power cuts need {missing}");
        return;
    }
    let (histories, cuts) = if std::env::var_os("REDAN_TEST_ALL").is_some() {
        all
    } else {
        ordinary
    };
    // A failure names its seed; this repeats it.
    let seed = std::env::var("REDAN_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(seed);
    let director = play(
        "director",
        &[load, &u64::to_string(&seed), &histories.to_string(), &cuts.to_string()],
    );
    let mut command = Command::new("unshare");
    command
        .arg("--mount")
        .arg(director.get_program())
        .args(director.get_args());
    for (name, value) in director.get_envs() {
        command.env(name, value.unwrap());
    }
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    let works = |script: &str| {
        let output = Command::new("unshare").args(["--mount", "sh", "-ec", script]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !Path::new("/dev/fuse").exists() {
        return Some("/dev/fuse");
    }
    let try_loop = "mount -t tmpfs none /mnt; truncate -s 4M /mnt/image; mkfs.ext4 -q -F /mnt/image; mkdir /mnt/on; mount -o loop /mnt/image /mnt/on";
    (!works(try_loop)).then_some("loop devices, ext4 and mount namespaces")
}

/// Makes histories and cuts them.
fn direct(load: &str, seed: u64, histories: usize, cuts: usize) {
    let folder = tempfile::tempdir().unwrap();
    // All that lies in it is gone with the namespace.
    let work = Mount::new(
        &["-t", "tmpfs", "-o", "size=3g"],
        Path::new("redan-power"),
        folder.path().to_owned(),
    )
    .unwrap();
    let begin = std::time::Instant::now();
    let mut all = Findings::default();
    for number in 0..histories {
        let mut random = Random(seed.wrapping_mul(1_000_003) + number as u64);
        let place = work.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        let failed = |error: String| panic!("{load}, seed {seed}, history {number}: {error}");
        record(load, &place, &mut random).unwrap_or_else(failed);
        if let Err(error) = cut(load, &place, cuts, &mut random, &mut all) {
            keep(&place);
            failed(error);
        }
        std::fs::remove_dir_all(&place).unwrap();
    }
    println!("{load}, seed {seed}: {all:?} in {} s", begin.elapsed().as_secs());
    assert_eq!(all.cuts, histories * cuts, "every cut was made and looked at");
    assert!(all.after_acknowledgements * 2 > all.cuts, "{all:?}: too little to lose");
}

/// Copies what a failure needs to be understood to the folder in `REDAN_TEST_KEEP`, for it goes with the namespace otherwise.
fn keep(place: &Path) {
    let Some(folder) = std::env::var_os("REDAN_TEST_KEEP") else {
        return;
    };
    for name in ["base", "history", "cut"] {
        std::fs::copy(place.join(name), Path::new(&folder).join(name)).unwrap();
    }
}

/// What a run has gone through, so that a test that tests nothing shows.
#[derive(Debug, Default)]
struct Findings {
    cuts: usize,
    after_acknowledgements: usize,
    cut_writes: usize,
    rebuilt: usize,
    /// Cuts of a disk that had pretended, and those after which something was missing.
    betrayed: usize,
    named: usize,
    missing: usize,
}

/// One history: starts, kills, orderly ends, errors of the disk.
fn record(load: &str, work: &Path, random: &mut Random) -> Result<(), String> {
    let options = ["data=ordered", "data=writeback,noauto_da_alloc"][random.below(2)];
    let mut stage = Stage::new(work, options)?;
    let starts = 3 + random.below(4);
    for start in 0..starts {
        let writer = stage.writer(load, start as u64);
        let mut end = writer.wait(1 + random.below(120));
        let failing = start > 0 && random.below(3) == 0;
        if failing && end.is_none() {
            let count = 1 + random.below(3);
            // What a program can know of weighs more than what it cannot.
            let what = ["fail-writes", "refuse-flushes", "refuse-flushes", "fail-flushes"][random.below(4)];
            stage.control(&format!("{what} {count}"));
            end = writer.wait(300);
            stage.control(&format!("{what} 0"));
            match &end {
                None if what == "refuse-flushes" => return Err("acknowledged what was never flushed".to_owned()),
                // One that hit something else than the journal.
                None => {}
                Some(line) if line.starts_with("refused") => {}
                Some(other) => return Err(format!("after {what} {count}: {other}")),
            }
        } else if let Some(line) = end {
            return Err(format!("without an error of the disk: {line}"));
        }
        if !failing && random.below(3) == 0 {
            writer.close()?;
        } else {
            writer.kill();
        }
        // After an error the file system may have become read-only: that takes a start of the machine, as does its cache.
        if failing && !writable(&work.join("fs")) {
            stage.unmount()?;
            stage.mount()?;
        }
    }
    stage.finish()
}

fn writable(folder: &Path) -> bool {
    std::fs::File::create(folder.join("probe"))
        .and_then(|file| file.sync_all())
        .is_ok()
}

/// Cuts a history at random points, and looks at what is left.
fn cut(load: &str, work: &Path, cuts: usize, random: &mut Random, all: &mut Findings) -> Result<(), String> {
    let history = History::read(&work.join("history")).map_err(|error| error.to_string())?;
    let base = std::fs::read(work.join("base")).map_err(|error| error.to_string())?;
    // Half of the cuts right after something was acknowledged, where a lie would show most.
    let acknowledged = |at: &usize| matches!(history.get(*at), Operation::Ack(_));
    let promises: Vec<usize> = (0..history.len()).filter(acknowledged).collect();
    let mut places: Vec<usize> = (0..cuts)
        .map(|number| match promises.get(random.below(promises.len().max(1))) {
            Some(place) if number % 2 == 0 => place + 1,
            _ => random.below(history.len() + 1),
        })
        .collect();
    places.sort_unstable();
    let mut cutter = Cutter::new(&history, base, Random(random.next()));
    let (mut store, mut audit) = (store_load::Promised::default(), audit_load::Promised::default());
    let image = work.join("cut");
    let mut told = 0_usize;
    for place in places {
        cutter.advance(place, |text| {
            told += 1;
            let text = std::str::from_utf8(text).unwrap();
            if load == "store" {
                store.told(text);
            } else {
                audit.told(text);
            }
        });
        let loss = Loss::ALL[random.below(Loss::ALL.len())];
        cutter.cut(loss, &image).map_err(|error| error.to_string())?;
        let named = |error: String| format!("cut at {place} of {}, {loss:?}: {error}", history.len());
        all.cuts += 1;
        all.betrayed += usize::from(cutter.betrayed());
        let mounted = match mount_image(&image, work.join("after")) {
            Err(_) if cutter.betrayed() => {
                all.named += 1;
                continue;
            }
            other => other.map_err(named)?,
        };
        let folder = mounted.path().join("state");
        let looked = if load == "store" {
            store_load::check(&folder, &store, place % 4 == 0)
                .map(|report| (report.cut.is_some(), report.rebuilt.is_some()))
        } else {
            audit_load::check(&folder, &audit).map(|notes| {
                let any = |begin: &str| notes.iter().any(|note| note.starts_with(begin));
                (any("a write was cut"), any("the index was built"))
            })
        };
        let notes = match looked {
            Ok(notes) => notes,
            Err(Wrong::Named(_)) if cutter.betrayed() => {
                all.named += 1;
                (false, false)
            }
            Err(Wrong::Missing(_)) if cutter.betrayed() => {
                all.missing += 1;
                (false, false)
            }
            Err(Wrong::Named(error) | Wrong::Missing(error) | Wrong::Torn(error)) => return Err(named(error)),
        };
        mounted.unmount().map_err(named)?;
        all.after_acknowledgements += usize::from(told > 0);
        all.cut_writes += usize::from(notes.0);
        all.rebuilt += usize::from(notes.1);
    }
    Ok(())
}
