//! Workers started by the driver itself: for evaluation and tests. On the appliance the supervisor starts them.

use super::Wire;
use redan_ipc::Channel;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// How to start a worker. One runs at a time: asking for another wire ends the one before.
#[derive(Debug)]
pub struct Spawn {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    child: Mutex<Option<Child>>,
}

impl Spawn {
    /// Starts the worker at `program`.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            child: Mutex::new(None),
        }
    }

    /// Adds an argument.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets a variable of the worker's environment, which is empty otherwise: some modules find their configuration by one.
    pub fn environment(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The process of the worker that was started last; `None` before the first.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().map(Child::id)
    }
}

impl Wire for Spawn {
    fn connect(&self) -> io::Result<Channel> {
        let mut place = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        end(place.take());
        let (ours, theirs) = Channel::pair().map_err(io::Error::other)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(theirs.into_descriptor()))
            .stdout(Stdio::null())
            .spawn()?;
        *place = Some(child);
        Ok(ours)
    }
}

impl Drop for Spawn {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        // It may have ended by itself; then there is nothing to kill and its status is all that is left.
        let _ = child.kill();
        let _ = child.wait();
    }
}
