//! Checking the live log: every leaf, the tree, every checkpoint, the counter.

use super::entries::StoredEntry;
use super::{AuditLog, Signed, open_by_any};
use crate::service::VaultError;
use crate::store::Tree;
use redan_audit::{Checkpoint, Frontier, Hash, Leaf, leaf_hash};
use redan_ipc::messages::audit::VerifyReport;
use redan_types::Timestamp;
use std::time::Instant;

impl AuditLog {
    /// Checks the whole log as it stands when this is called, and names every mistake with its place.
    pub(crate) fn verify(&self) -> Result<VerifyReport, VaultError> {
        let begin = Instant::now();
        let live = self.live().clone();
        let size = live.frontier.size();
        let segments = self.sealed();
        let mut checking = Checking {
            log: self,
            frontier: segments.frontier()?,
            mistakes: Mistakes::default(),
        };
        let mut checkpoints = self.checkpoints(&mut checking.mistakes)?.into_iter().peekable();
        let mut next = segments.first();
        while next < size {
            let until = (next + STEP).min(size);
            let mut expected = next;
            for record in self
                .store
                .numbered(Tree::AuditEntries, next..until, false, usize::MAX)?
            {
                match record {
                    Ok(record) => {
                        let number = record.number.unwrap_or(expected);
                        checking.missing(expected..number);
                        checking.entry(number, &record.value)?;
                        expected = number + 1;
                    }
                    Err(error) => {
                        checking.mistakes.add(error.to_string());
                        expected += 1;
                    }
                }
                while let Some(signed) = checkpoints.next_if(|signed| signed.size <= checking.frontier.size()) {
                    checking.checkpoint(&signed);
                }
            }
            checking.missing(expected..until);
            next = until;
        }
        for signed in checkpoints.filter(|signed| signed.size > size) {
            let found = signed.size;
            checking.mistakes.add(format!(
                "a checkpoint was signed over {found} entries, the log has {size}: its end is missing"
            ));
        }
        if checking.frontier.size() == size && checking.frontier.root() != live.frontier.root() {
            checking
                .mistakes
                .add("the tree of all entries does not have the root that the log goes on from".to_owned());
        }
        Ok(VerifyReport {
            size,
            root: live.frontier.root().to_string(),
            key: self.keys.common.to_string(),
            inside: self.keys.inside.as_ref().map(|(key, _)| key.to_string()),
            checkpoint: live.checkpoint.map_or(Timestamp(0), |checkpoint| checkpoint.time),
            mistakes: checking.mistakes.finish(),
            micros: u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn checkpoints(&self, mistakes: &mut Mistakes) -> Result<Vec<Signed>, VaultError> {
        let mut all = Vec::new();
        for record in self
            .store
            .numbered(Tree::AuditCheckpoints, 0..u64::MAX, false, usize::MAX)?
        {
            match record {
                Ok(record) => all.push(Signed::read(&record.value, &*self.device)?),
                Err(error) => mistakes.add(error.to_string()),
            }
        }
        Ok(all)
    }
}

struct Checking<'a> {
    log: &'a AuditLog,
    frontier: Frontier,
    mistakes: Mistakes,
}

impl Checking<'_> {
    fn entry(&mut self, number: u64, value: &[u8]) -> Result<(), VaultError> {
        let stored = StoredEntry::parse(value)?;
        let hash = leaf_hash(&stored.leaf);
        if hash != Hash(stored.hash) {
            self.mistakes.add(format!(
                "entry {number} does not have the hash that the tree was built from"
            ));
        }
        match Leaf::parse(&stored.leaf) {
            Ok(leaf) if leaf.header.sequence != number => {
                self.mistakes
                    .add(format!("entry {number} says that it is entry {}", leaf.header.sequence));
            }
            Ok(_) => {
                // Without the person's key there is nothing to open, and that is no mistake.
                if let Some(key) = self.log.key_of(&stored.person, number)?
                    && stored.open(&key).is_none()
                {
                    self.mistakes
                        .add(format!("entry {number} does not open to what was committed to"));
                }
            }
            Err(error) => self.mistakes.add(format!("entry {number}: {error}")),
        }
        if self.frontier.size() == number {
            self.frontier.append(Hash(stored.hash));
        }
        Ok(())
    }

    fn missing(&mut self, numbers: std::ops::Range<u64>) {
        if !numbers.is_empty() {
            self.mistakes
                .add(format!("entries {} to {} are missing", numbers.start, numbers.end - 1));
        }
    }

    fn checkpoint(&mut self, signed: &Signed) {
        let size = signed.size;
        // Those of an earlier key device have the lines of its keys.
        if let Some((inside, _)) = &self.log.keys.inside
            && signed.device == *self.log.device.identity()
            && let Err(error) = Checkpoint::open(&signed.note, inside)
        {
            self.mistakes.add(format!(
                "the checkpoint over {size} entries, by the key in the device: {error}"
            ));
        }
        match open_by_any(&signed.note, &self.log.keys) {
            Ok(opened) if opened.size != size => {
                self.mistakes
                    .add(format!("the checkpoint over {size} entries says {}", opened.size));
            }
            Ok(opened) if size == self.frontier.size() && opened.root != self.frontier.root() => {
                self.mistakes
                    .add(format!("the first {size} entries do not have the root that was signed"));
            }
            Ok(_) => {}
            Err(error) => self
                .mistakes
                .add(format!("the checkpoint over {size} entries: {error}")),
        }
    }
}

#[derive(Default)]
struct Mistakes {
    listed: Vec<String>,
    more: u64,
}

impl Mistakes {
    fn add(&mut self, mistake: String) {
        if self.listed.len() < LISTED {
            self.listed.push(mistake);
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
    }
}

const STEP: u64 = 1_024;
const LISTED: usize = 100;
