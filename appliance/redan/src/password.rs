//! Passwords and recovery shares from the terminal, unseen, or from standard input.

use std::io::{self, IsTerminal, Read, Write};

use redan_types::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::CommandError;

/// The longest password read, in bytes.
const LONGEST: u64 = 1024;

/// A new password: asked for twice at a terminal, else the first line of standard input.
pub(crate) fn ask() -> Result<SecretString, CommandError> {
    if !io::stdin().is_terminal() {
        return line().map_err(CommandError::Password).and_then(accepted);
    }
    let first = unseen("Password: ").map_err(CommandError::Password)?;
    let again = unseen("The same again: ").map_err(CommandError::Password)?;
    if *first != *again {
        return Err(CommandError::PasswordRefused("the two passwords differ"));
    }
    accepted(first)
}

/// A recovery key or share: asked for at a terminal, else the next line of standard input; `None` at its end.
pub(crate) fn one(prompt: &str) -> Result<Option<SecretString>, CommandError> {
    let read = if io::stdin().is_terminal() {
        unseen(prompt)
    } else {
        line()
    };
    let mut text = read.map_err(CommandError::Password)?;
    Ok((!text.is_empty()).then(|| SecretString::new(std::mem::take(&mut *text))))
}

fn accepted(mut password: Zeroizing<String>) -> Result<SecretString, CommandError> {
    if password.is_empty() {
        return Err(CommandError::PasswordRefused("a password cannot be empty"));
    }
    Ok(SecretString::new(std::mem::take(&mut *password)))
}

fn unseen(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut err = io::stderr().lock();
    err.write_all(prompt.as_bytes())?;
    err.flush()?;
    let quiet = Quiet::start()?;
    let line = line();
    drop(quiet);
    err.write_all(b"\n")?;
    line
}

/// One line, byte by byte: what a buffered reader would read further would stay in its memory.
fn line() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    // A descriptor of our own: the standard library's handle has a buffer behind it.
    let mut input = std::fs::File::from(rustix::io::dup(io::stdin())?).take(LONGEST);
    let mut byte = [0];
    while input.read(&mut byte)? == 1 && byte != *b"\n" {
        bytes.extend_from_slice(&byte);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal without echo, until dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The terminal may have gone; then there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
