//! How lines get to the terminal.

use std::collections::VecDeque;

use super::{Menu, PAGE, State};
use crate::line::Echo;
use crate::screens;
use crate::text::{WIDTH, plain, wrapped};
use crate::world::World;

impl<W: World> Menu<W> {
    pub(super) fn clear(&mut self) {
        // Attributes off, erase all, cursor home: VT100 and everything since.
        self.out.extend(b"\x1b[0m\x1b[2J\x1b[H");
    }

    pub(super) fn title(&mut self, title: &str) {
        self.clear();
        let facts = self.facts();
        self.say(&screens::head(&facts, title));
        self.rule();
    }

    pub(super) fn rule(&mut self) {
        self.say(&"-".repeat(WIDTH - 1));
    }

    pub(super) fn say(&mut self, line: &str) {
        self.out.extend(plain(line).bytes().take(WIDTH - 1));
        self.out.extend(b"\r\n");
    }

    pub(super) fn prompt(&mut self, text: &str, state: State, echo: Echo) {
        self.out.extend(plain(text).bytes());
        self.wait_for(state, echo);
    }

    pub(super) fn prompt_read(&mut self) {
        self.say("");
        self.prompt(" Enter goes back. ", State::Read, Echo::Visible);
    }

    /// Says something and waits until it was read.
    pub(super) fn read(&mut self, text: &str) {
        self.say("");
        for line in wrapped(text, WIDTH - 4) {
            self.say(&format!("  {line}"));
        }
        self.prompt_read();
    }

    pub(super) fn pages(&mut self, title: &'static str, mut rest: VecDeque<String>) {
        self.title(title);
        let page: Vec<_> = rest.drain(..rest.len().min(PAGE)).collect();
        for line in &page {
            self.say(line);
        }
        if rest.is_empty() {
            return self.prompt_read();
        }
        let prompt = format!(" Enter shows more ({} lines), q goes back. ", rest.len());
        self.prompt(&prompt, State::Pages { title, rest }, Echo::Visible);
    }

    pub(super) fn wait_for(&mut self, state: State, echo: Echo) {
        self.state = state;
        self.reader.begin(echo);
    }
}
