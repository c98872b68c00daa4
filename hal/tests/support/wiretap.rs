//! A probe on the bus: records what passes, and alters it where it is told to.

use redan_hal::keys::tpm2::transport::{Connect, Transport};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Change = Box<dyn FnMut(&[u8], &mut Vec<u8>) + Send>;

/// Everything that passed, and what to do with it.
#[derive(Default)]
struct Tap {
    seen: Vec<u8>,
    commands: Vec<u32>,
    /// Called with each command and its answer.
    change: Option<Change>,
}

/// A connection with a probe in it.
#[derive(Clone)]
pub(crate) struct Tapped<C> {
    inner: C,
    tap: Arc<Mutex<Tap>>,
}

impl<C> std::fmt::Debug for Tapped<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tapped")
    }
}

impl<C: Connect> Tapped<C> {
    pub(crate) fn new(inner: C) -> Self {
        Self {
            inner,
            tap: Arc::default(),
        }
    }

    /// Whether these bytes passed in either direction.
    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        self.tap
            .lock()
            .unwrap()
            .seen
            .windows(bytes.len())
            .any(|window| window == bytes)
    }

    /// How many bytes passed.
    pub(crate) fn bytes(&self) -> usize {
        self.tap.lock().unwrap().seen.len()
    }

    /// The codes of the commands that passed.
    pub(crate) fn commands(&self) -> Vec<u32> {
        self.tap.lock().unwrap().commands.clone()
    }

    pub(crate) fn forget(&self) {
        let mut tap = self.tap.lock().unwrap();
        tap.seen.clear();
        tap.commands.clear();
    }

    /// From now on, lets `change` alter answers.
    pub(crate) fn change(&self, change: impl FnMut(&[u8], &mut Vec<u8>) + Send + 'static) {
        self.tap.lock().unwrap().change = Some(Box::new(change));
    }

    pub(crate) fn change_nothing(&self) {
        self.tap.lock().unwrap().change = None;
    }
}

impl<C: Connect> Connect for Tapped<C> {
    fn connect(&self) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Line {
            inner: self.inner.connect()?,
            tap: Arc::clone(&self.tap),
        }))
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}

struct Line {
    inner: Box<dyn Transport>,
    tap: Arc<Mutex<Tap>>,
}

impl Transport for Line {
    fn exchange(&mut self, command: &[u8], answer: &mut [u8], limit: Duration) -> io::Result<usize> {
        {
            let mut tap = self.tap.lock().unwrap();
            tap.seen.extend_from_slice(command);
            tap.commands
                .push(u32::from_be_bytes(command[6..10].try_into().unwrap()));
        }
        let length = self.inner.exchange(command, answer, limit)?;
        let mut tap = self.tap.lock().unwrap();
        tap.seen.extend_from_slice(&answer[..length]);
        let Some(change) = &mut tap.change else {
            return Ok(length);
        };
        let mut altered = answer[..length].to_vec();
        change(command, &mut altered);
        answer[..altered.len()].copy_from_slice(&altered);
        Ok(altered.len())
    }
}
