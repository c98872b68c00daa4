//! A backtracking matcher with a step limit, for the few patterns that are not regular.
//!
//! The tree becomes a program; a search runs it from each start, keeping the choices not yet taken and the registers to restore on
//! a stack of its own. Each instruction is a step, each step pushes at most one entry, so the limit bounds time and memory.

use super::error::{PatternError, Reason};
use super::{Groups, Look, Mode, Node, WORD};
use crate::bytes::ByteSet;

/// The most instructions of one program.
const PROGRAM_LIMIT: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// One byte of a set.
    Set(ByteSet),
    /// A place.
    Look(Look),
    /// Go on at the first; if that fails, at the second.
    Split(usize, usize),
    /// Go on there.
    Jump(usize),
    /// The place goes into a register.
    Save(usize),
    /// Leaves a loop whose last round, begun at the register's place, took nothing.
    Progress { register: usize, exit: usize },
    /// The height of the stack goes into a register.
    Mark(usize),
    /// The choices above the register's height are dropped.
    Cut(usize),
    /// The same, and then this way fails.
    CutFail(usize),
    /// The place becomes the register's.
    Restore(usize),
    /// So many bytes back.
    Back(usize),
    /// What the group matched.
    Reference { group: u32, fold: bool },
    /// The end.
    Match,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    groups: usize,
    registers: usize,
}

/// What a search found.
pub(super) enum Outcome {
    Nothing,
    Match(Groups),
    Exhausted,
}

/// No place.
const UNSET: usize = usize::MAX;

/// An entry of the stack.
enum Entry {
    Choice { step: usize, place: usize },
    Register { register: usize, value: usize },
}

impl Program {
    pub(super) fn memory(&self) -> usize {
        self.steps.len() * size_of::<Step>()
    }

    pub(super) fn compile(root: &Node, groups: u32) -> Result<Self, PatternError> {
        let groups = groups as usize + 1;
        let mut compiler = Compiler {
            steps: Vec::new(),
            registers: groups * 2,
        };
        compiler.push(Step::Save(0))?;
        compiler.node(root)?;
        compiler.push(Step::Save(1))?;
        compiler.push(Step::Match)?;
        Ok(Self {
            steps: compiler.steps,
            groups,
            registers: compiler.registers,
        })
    }

    /// The first match that begins at `start` or later. Takes its steps from `budget`.
    pub(super) fn find(&self, value: &[u8], start: usize, budget: &mut u64) -> Outcome {
        let mut run = Run {
            value,
            registers: vec![UNSET; self.registers],
            stack: Vec::new(),
        };
        for place in start..=value.len() {
            run.registers.fill(UNSET);
            run.stack.clear();
            match run.from(&self.steps, place, budget) {
                None => return Outcome::Exhausted,
                Some(true) => {
                    let group = |index: usize| match run.registers[index * 2..index * 2 + 2] {
                        [from, to] if from != UNSET && to != UNSET => Some((from, to)),
                        _ => None,
                    };
                    return Outcome::Match((0..self.groups).map(group).collect());
                }
                Some(false) => {}
            }
        }
        Outcome::Nothing
    }
}

struct Run<'a> {
    value: &'a [u8],
    registers: Vec<usize>,
    stack: Vec<Entry>,
}

impl Run<'_> {
    fn set(&mut self, register: usize, value: usize) {
        self.stack.push(Entry::Register {
            register,
            value: self.registers[register],
        });
        self.registers[register] = value;
    }

    /// Drops the choices above a height and keeps the registers to restore.
    fn cut(&mut self, height: usize) {
        let kept: Vec<Entry> = self
            .stack
            .drain(height..)
            .filter(|entry| matches!(entry, Entry::Register { .. }))
            .collect();
        self.stack.extend(kept);
    }

    /// Whether a match begins at `place`; none if the budget is used up.
    fn from(&mut self, steps: &[Step], mut place: usize, budget: &mut u64) -> Option<bool> {
        let mut step = 0;
        loop {
            *budget = budget.checked_sub(1)?;
            let next = match steps[step] {
                Step::Set(set) => self.value.get(place).filter(|byte| set.contains(**byte)).map(|_| {
                    place += 1;
                    step + 1
                }),
                Step::Look(look) => holds(look, self.value, place).then_some(step + 1),
                Step::Split(first, second) => {
                    self.stack.push(Entry::Choice { step: second, place });
                    Some(first)
                }
                Step::Jump(target) => Some(target),
                Step::Save(register) => {
                    self.set(register, place);
                    Some(step + 1)
                }
                Step::Progress { register, exit } => Some(if self.registers[register] == place {
                    exit
                } else {
                    step + 1
                }),
                Step::Mark(register) => {
                    // The entry that `set` pushes stays below the mark.
                    self.set(register, self.stack.len() + 1);
                    Some(step + 1)
                }
                Step::Cut(register) => {
                    self.cut(self.registers[register]);
                    Some(step + 1)
                }
                Step::CutFail(register) => {
                    // The choice that leads past a negative look-around lies directly above the mark.
                    let height = self.registers[register];
                    while self.stack.len() > height + 1 {
                        self.undo();
                    }
                    self.stack.pop();
                    None
                }
                Step::Restore(register) => {
                    place = self.registers[register];
                    Some(step + 1)
                }
                Step::Back(length) => place.checked_sub(length).map(|earlier| {
                    place = earlier;
                    step + 1
                }),
                Step::Reference { group, fold } => self.repeats(group, fold, place).map(|length| {
                    place += length;
                    step + 1
                }),
                Step::Match => return Some(true),
            };
            step = if let Some(next) = next {
                next
            } else {
                loop {
                    match self.undo() {
                        None => return Some(false),
                        Some(Some((choice, earlier))) => {
                            place = earlier;
                            break choice;
                        }
                        Some(None) => {}
                    }
                }
            };
        }
    }

    /// Takes the top entry off: the choice that it is, if it is one. None if the stack is empty.
    fn undo(&mut self) -> Option<Option<(usize, usize)>> {
        Some(match self.stack.pop()? {
            Entry::Choice { step, place } => Some((step, place)),
            Entry::Register { register, value } => {
                self.registers[register] = value;
                None
            }
        })
    }

    /// The length of the group's text if it stands at `place` again. A group that has not matched fails.
    fn repeats(&self, group: u32, fold: bool, place: usize) -> Option<usize> {
        let index = group as usize * 2;
        let (from, to) = (self.registers[index], self.registers[index + 1]);
        let text = self.value.get(from..to)?;
        let here = self.value.get(place..place + text.len())?;
        let same = if fold {
            text.eq_ignore_ascii_case(here)
        } else {
            text == here
        };
        same.then_some(text.len())
    }
}

fn holds(look: Look, value: &[u8], place: usize) -> bool {
    let before = place.checked_sub(1).map(|index| value[index]);
    let after = value.get(place).copied();
    let word = |byte: Option<u8>| byte.is_some_and(|byte| WORD.contains(byte));
    match look {
        Look::Start => place == 0,
        Look::End => after.is_none(),
        Look::EndOrNewline => after.is_none() || &value[place..] == b"\n",
        Look::LineStart => matches!(before, None | Some(b'\n')),
        Look::LineEnd => matches!(after, None | Some(b'\n')),
        Look::Word => word(before) != word(after),
        Look::NotWord => word(before) == word(after),
    }
}

struct Compiler {
    steps: Vec<Step>,
    registers: usize,
}

impl Compiler {
    fn push(&mut self, step: Step) -> Result<usize, PatternError> {
        if self.steps.len() >= PROGRAM_LIMIT {
            return Err(Reason::TooLarge.at(0));
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn register(&mut self) -> usize {
        self.registers += 1;
        self.registers - 1
    }

    fn node(&mut self, node: &Node) -> Result<(), PatternError> {
        match node {
            Node::Empty => {}
            Node::Set(set) => {
                self.push(Step::Set(*set))?;
            }
            Node::Look(look) => {
                self.push(Step::Look(*look))?;
            }
            Node::Concat(nodes) => {
                for node in nodes {
                    self.node(node)?;
                }
            }
            Node::Alternation(nodes) => self.alternation(nodes, Self::node)?,
            Node::Capture(group, node) => {
                let register = *group as usize * 2;
                // The start goes to a register of its own first: a reference within the group means the round before.
                let start = self.register();
                self.push(Step::Save(start))?;
                self.node(node)?;
                let end = self.register();
                self.push(Step::Save(end))?;
                self.push(Step::Restore(start))?;
                self.push(Step::Save(register))?;
                self.push(Step::Restore(end))?;
                self.push(Step::Save(register + 1))?;
            }
            Node::Repeat {
                node,
                min,
                max,
                mode: Mode::Possessive,
            } => {
                let greedy = Node::Repeat {
                    node: node.clone(),
                    min: *min,
                    max: *max,
                    mode: Mode::Greedy,
                };
                self.atomic(&greedy)?;
            }
            Node::Repeat { node, min, max, mode } => self.repeat(node, *min, *max, *mode == Mode::Greedy)?,
            Node::Atomic(node) => self.atomic(node)?,
            Node::Around {
                ahead: true,
                negative,
                node,
            } => self.around(*negative, |compiler| compiler.node(node))?,
            Node::Around {
                ahead: false,
                negative,
                node,
            } => self.around(*negative, |compiler| compiler.behind(node))?,
            Node::Reference { group, fold } => {
                self.push(Step::Reference {
                    group: *group,
                    fold: *fold,
                })?;
            }
        }
        Ok(())
    }

    fn alternation(
        &mut self,
        nodes: &[Node],
        mut compile: impl FnMut(&mut Self, &Node) -> Result<(), PatternError>,
    ) -> Result<(), PatternError> {
        let Some((last, others)) = nodes.split_last() else {
            return Ok(());
        };
        let mut jumps = Vec::with_capacity(others.len());
        for node in others {
            let split = self.push(Step::Match)?;
            compile(self, node)?;
            jumps.push(self.push(Step::Match)?);
            self.steps[split] = Step::Split(split + 1, self.steps.len());
        }
        compile(self, last)?;
        let end = self.steps.len();
        for jump in jumps {
            self.steps[jump] = Step::Jump(end);
        }
        Ok(())
    }

    fn atomic(&mut self, node: &Node) -> Result<(), PatternError> {
        let mark = self.register();
        self.push(Step::Mark(mark))?;
        self.node(node)?;
        self.push(Step::Cut(mark))?;
        Ok(())
    }

    fn around(
        &mut self,
        negative: bool,
        body: impl FnOnce(&mut Self) -> Result<(), PatternError>,
    ) -> Result<(), PatternError> {
        let mark = self.register();
        if negative {
            self.push(Step::Mark(mark))?;
            let split = self.push(Step::Match)?;
            body(self)?;
            self.push(Step::CutFail(mark))?;
            self.steps[split] = Step::Split(split + 1, self.steps.len());
        } else {
            let place = self.register();
            self.push(Step::Save(place))?;
            self.push(Step::Mark(mark))?;
            body(self)?;
            self.push(Step::Cut(mark))?;
            self.push(Step::Restore(place))?;
        }
        Ok(())
    }

    /// A look-behind: each alternative starts as many bytes earlier as it is long.
    fn behind(&mut self, node: &Node) -> Result<(), PatternError> {
        let single = |compiler: &mut Self, node: &Node| {
            let length = length(node).ok_or_else(|| Reason::LookBehind.at(0))?;
            compiler.push(Step::Back(length))?;
            compiler.node(node)
        };
        match node {
            Node::Alternation(nodes) => self.alternation(nodes, single),
            node => single(self, node),
        }
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greedy: bool) -> Result<(), PatternError> {
        for _ in 0..min {
            self.node(node)?;
        }
        let split = |body: usize, exit: usize| {
            if greedy {
                Step::Split(body, exit)
            } else {
                Step::Split(exit, body)
            }
        };
        let Some(max) = max else {
            let register = self.register();
            let head = self.push(Step::Match)?;
            self.push(Step::Save(register))?;
            self.node(node)?;
            let progress = self.push(Step::Match)?;
            self.push(Step::Jump(head))?;
            let exit = self.steps.len();
            self.steps[head] = split(head + 1, exit);
            self.steps[progress] = Step::Progress { register, exit };
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Step::Match)?);
            self.node(node)?;
        }
        let exit = self.steps.len();
        for index in splits {
            self.steps[index] = split(index + 1, exit);
        }
        Ok(())
    }
}

/// The number of bytes that a node always takes, if it is always the same.
fn length(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Look(_) | Node::Around { .. } => Some(0),
        Node::Set(_) => Some(1),
        Node::Concat(nodes) => nodes.iter().map(length).sum(),
        Node::Alternation(nodes) => {
            let mut lengths = nodes.iter().map(length);
            let first = lengths.next()??;
            lengths.all(|length| length == Some(first)).then_some(first)
        }
        Node::Capture(_, node) | Node::Atomic(node) => length(node),
        Node::Repeat { node, min, max, .. } => (*max == Some(*min))
            .then(|| length(node))?
            .map(|length| length * *min as usize),
        Node::Reference { .. } => None,
    }
}
