//! Reads PCRE syntax.

use std::collections::HashMap;

use super::error::{PatternError, Reason};
use super::set::{self, VERTICAL};
use super::{Look, Mode, Node};
use crate::bytes::{ByteSet, WHITE_SPACE};

/// How deep groups may nest. Compilers and engines recurse over the tree.
const DEPTH: usize = 200;

/// The largest bound of a quantifier, PCRE's.
const BOUND: u32 = 65_535;

/// A pattern that has been read.
pub(super) struct Parsed {
    pub(super) root: Node,
    /// How many groups capture.
    pub(super) groups: u32,
    /// Whether the linear-time engine can run it as it is.
    pub(super) regular: bool,
}

pub(super) fn parse(source: &[u8]) -> Result<Parsed, PatternError> {
    let mut parser = Parser {
        source,
        position: 0,
        depth: 0,
        flags: Flags::default(),
        groups: 0,
        names: HashMap::new(),
        references: Vec::new(),
        regular: true,
    };
    let root = parser.alternation()?;
    if parser.position < source.len() {
        return Err(Reason::GroupClose.at(parser.position));
    }
    for (position, group) in &parser.references {
        if *group == 0 || *group > parser.groups {
            return Err(Reason::NoSuchGroup(group.to_string()).at(*position));
        }
    }
    Ok(Parsed {
        root,
        groups: parser.groups,
        regular: parser.regular,
    })
}

/// The options that `(?…)` sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) fold: bool,
    pub(super) lines: bool,
    /// Set by `(?-s)`: a dot does not match a newline.
    pub(super) narrow_dot: bool,
    pub(super) extended: bool,
    pub(super) lazy: bool,
}

pub(super) struct Parser<'a> {
    pub(super) source: &'a [u8],
    pub(super) position: usize,
    pub(super) depth: usize,
    pub(super) flags: Flags,
    pub(super) groups: u32,
    pub(super) names: HashMap<Vec<u8>, u32>,
    pub(super) references: Vec<(usize, u32)>,
    pub(super) regular: bool,
}

impl Parser<'_> {
    pub(super) fn rest(&self) -> &[u8] {
        &self.source[self.position..]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.source.get(self.position).copied()
    }

    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    pub(super) fn fail<T>(&self, reason: Reason) -> Result<T, PatternError> {
        Err(reason.at(self.position))
    }

    /// Alternatives up to a closing parenthesis or the end. Options set within them end with them.
    pub(super) fn alternation(&mut self) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail(Reason::TooDeep(DEPTH));
        }
        let flags = self.flags;
        let mut branches = vec![self.sequence()?];
        while self.eat(b"|") {
            branches.push(self.sequence()?);
        }
        self.flags = flags;
        self.depth -= 1;
        Ok(match branches.len() {
            1 => branches.swap_remove(0),
            _ => Node::Alternation(branches),
        })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut nodes: Vec<Node> = Vec::new();
        loop {
            if self.flags.extended {
                self.skip_extended();
            }
            let start = self.position;
            match self.peek() {
                None | Some(b'|' | b')') => break,
                Some(b'*' | b'+' | b'?') => return self.fail(Reason::NothingToRepeat),
                Some(_) => {}
            }
            if self.eat(b"\\Q") {
                let end = memchr::memmem::find(self.rest(), b"\\E");
                let text = self.rest()[..end.unwrap_or(self.rest().len())].to_vec();
                self.position += text.len() + if end.is_some() { 2 } else { 0 };
                nodes.extend(text.iter().map(|byte| self.literal(*byte)));
                // A quantifier behind the quoted text belongs to its last byte.
                if let Some(last) = nodes.pop() {
                    nodes.push(self.quantified(last)?);
                }
                continue;
            }
            if self.eat(b"\\E") {
                continue;
            }
            let Some(atom) = self.atom()? else { continue };
            let node = self.quantified(atom)?;
            debug_assert!(self.position > start, "an atom takes at least a byte");
            nodes.push(node);
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// Skips the white space and the comments of `(?x)`.
    fn skip_extended(&mut self) {
        while let Some(byte) = self.peek() {
            if WHITE_SPACE.contains(byte) {
                self.position += 1;
            } else if byte == b'#' {
                let line = memchr::memchr(b'\n', self.rest()).map_or(self.rest().len(), |end| end + 1);
                self.position += line;
            } else {
                break;
            }
        }
    }

    /// A node for one byte, with the other case if case does not count.
    pub(super) fn literal(&self, byte: u8) -> Node {
        Node::Set(self.folded(ByteSet::EMPTY.with(byte)))
    }

    fn folded(&self, set: ByteSet) -> ByteSet {
        if self.flags.fold { set.fold_case() } else { set }
    }

    /// One atom; none for a comment or a change of options.
    fn atom(&mut self) -> Result<Option<Node>, PatternError> {
        let Some(byte) = self.peek() else {
            return Ok(Some(Node::Empty));
        };
        if byte == b'(' {
            return self.group();
        }
        if byte == b'\\' {
            return self.escape().map(Some);
        }
        self.position += 1;
        Ok(Some(match byte {
            b'[' => Node::Set(self.class()?),
            b'.' if self.flags.narrow_dot => Node::Set(ByteSet::EMPTY.with(b'\n').complement()),
            b'.' => Node::Set(ByteSet::ALL),
            b'^' if self.flags.lines => Node::Look(Look::LineStart),
            b'^' => Node::Look(Look::Start),
            b'$' if self.flags.lines => Node::Look(Look::LineEnd),
            b'$' => Node::Look(Look::End),
            byte => self.literal(byte),
        }))
    }

    /// The node with the quantifiers that follow it.
    fn quantified(&mut self, mut node: Node) -> Result<Node, PatternError> {
        loop {
            if self.flags.extended {
                self.skip_extended();
            }
            let Some((min, max)) = self.bounds()? else {
                return Ok(node);
            };
            let mode = if self.eat(b"+") {
                self.regular = false;
                Mode::Possessive
            } else if self.eat(b"?") != self.flags.lazy {
                Mode::Lazy
            } else {
                Mode::Greedy
            };
            node = Node::Repeat {
                node: Box::new(node),
                min,
                max,
                mode,
            };
            // A second quantifier on a quantifier is an error in PCRE for `**`, but `{2}{3}` multiplies.
            if matches!(self.peek(), Some(b'*' | b'+' | b'?')) {
                return self.fail(Reason::NothingToRepeat);
            }
        }
    }

    /// The bounds of a quantifier, if there is one here. A brace that starts none is a literal.
    fn bounds(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let simple = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                let Some((min, max, length)) = braces(self.rest()) else {
                    return Ok(None);
                };
                if min > BOUND || max.is_some_and(|max| max > BOUND || max < min) {
                    return self.fail(Reason::Bounds);
                }
                self.position += length;
                return Ok(Some((min, max)));
            }
            _ => return Ok(None),
        };
        self.position += 1;
        Ok(Some(simple))
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<Node, PatternError> {
        let start = self.position;
        self.position += 1;
        let Some(kind) = self.peek() else {
            return self.fail(Reason::EscapeCut);
        };
        self.position += 1;
        Ok(match kind {
            b'b' => Node::Look(Look::Word),
            b'B' => Node::Look(Look::NotWord),
            b'A' => Node::Look(Look::Start),
            b'z' => Node::Look(Look::End),
            b'Z' => {
                self.regular = false;
                Node::Look(Look::EndOrNewline)
            }
            b'N' => Node::Set(ByteSet::EMPTY.with(b'\n').complement()),
            b'R' => {
                self.regular = false;
                let pair = [b'\r', b'\n'].map(|byte| Node::Set(ByteSet::EMPTY.with(byte)));
                let branches = vec![Node::Concat(pair.to_vec()), Node::Set(VERTICAL)];
                Node::Atomic(Box::new(Node::Alternation(branches)))
            }
            b'G' => return Err(Reason::Unsupported("\\G").at(start)),
            b'K' => return Err(Reason::Unsupported("\\K").at(start)),
            b'C' => Node::Set(ByteSet::ALL),
            b'X' => return Err(Reason::Unsupported("\\X").at(start)),
            b'1'..=b'9' => self.digits_escape(start)?,
            b'g' | b'k' => self.named_reference(start, kind)?,
            _ => {
                self.position -= 1;
                Node::Set(self.set_escape(start)?)
            }
        })
    }

    /// `\1` to `\9` refer to groups; more digits do if there are so many groups, else they are octal.
    fn digits_escape(&mut self, start: usize) -> Result<Node, PatternError> {
        self.position = start + 1;
        let digits = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
            .min(6);
        let number = number(&self.rest()[..digits]);
        if digits == 1 || number <= self.groups {
            self.position += digits;
            return Ok(self.reference(start, number));
        }
        Ok(Node::Set(self.set_escape(start)?))
    }

    pub(super) fn reference(&mut self, position: usize, group: u32) -> Node {
        self.regular = false;
        self.references.push((position, group));
        Node::Reference {
            group,
            fold: self.flags.fold,
        }
    }

    /// An escape that stands for a set of bytes, in and out of classes. The position is behind the backslash.
    fn set_escape(&mut self, start: usize) -> Result<ByteSet, PatternError> {
        let Some(kind) = self.peek() else {
            return self.fail(Reason::EscapeCut);
        };
        self.position += 1;
        if let Some(class) = set::shorthand(kind) {
            return Ok(class);
        }
        let byte = match kind {
            b'a' => 0x07,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => {
                let Some(letter) = self.peek() else {
                    return self.fail(Reason::EscapeCut);
                };
                self.position += 1;
                letter.to_ascii_uppercase() ^ 0x40
            }
            b'x' if self.peek() == Some(b'{') => self.braced(start, 16)?,
            b'o' if self.peek() == Some(b'{') => self.braced(start, 8)?,
            b'x' => {
                let digits = self
                    .rest()
                    .iter()
                    .take(2)
                    .take_while(|byte| byte.is_ascii_hexdigit())
                    .count();
                let value = radix(&self.rest()[..digits], 16);
                self.position += digits;
                narrow(value).map_err(|reason| reason.at(start))?
            }
            b'0'..=b'7' => {
                let digits = self
                    .rest()
                    .iter()
                    .take(2)
                    .take_while(|byte| matches!(byte, b'0'..=b'7'))
                    .count();
                let from = self.position - 1;
                self.position += digits;
                narrow(radix(&self.source[from..self.position], 8)).map_err(|reason| reason.at(start))?
            }
            b'p' | b'P' => return Err(Reason::Unsupported("a Unicode property").at(start)),
            other => other,
        };
        Ok(self.folded(ByteSet::EMPTY.with(byte)))
    }

    /// The number in braces of `\x{…}` and `\o{…}`.
    fn braced(&mut self, start: usize, base: u32) -> Result<u8, PatternError> {
        let Some(end) = memchr::memchr(b'}', self.rest()) else {
            return Err(Reason::EscapeCut.at(start));
        };
        let digits = &self.rest()[1..end];
        let good =
            !digits.is_empty() && digits.len() <= 8 && digits.iter().all(|byte| char::from(*byte).is_digit(base));
        let value = if good {
            radix(digits, base)
        } else {
            return Err(Reason::EscapeCut.at(start));
        };
        self.position += end + 1;
        narrow(value).map_err(|reason| reason.at(start))
    }

    /// A class, behind its opening bracket.
    fn class(&mut self) -> Result<ByteSet, PatternError> {
        let start = self.position - 1;
        let negated = self.eat(b"^");
        let mut set = ByteSet::EMPTY;
        let mut first = true;
        loop {
            let Some(byte) = self.peek() else {
                return Err(Reason::ClassOpen.at(start));
            };
            if byte == b']' && !first {
                self.position += 1;
                break;
            }
            first = false;
            if byte == b'['
                && let Some((class, length)) = set::posix(self.rest()).map_err(|reason| reason.at(self.position))?
            {
                set = set.union(class);
                self.position += length;
                continue;
            }
            let Some(low) = self.member(start)? else { continue };
            // A hyphen makes a range only between two single bytes.
            let (Some(from), true) = (low.only(), self.range_follows()) else {
                set = set.union(low.set());
                continue;
            };
            let hyphen = self.position;
            self.position += 1;
            match self.member(start)? {
                Some(Member::Byte(to)) if from <= to => set = set.union(ByteSet::range(from, to)),
                Some(Member::Byte(_)) => return Err(Reason::ClassRange.at(hyphen)),
                Some(Member::Set(other)) => set = set.union(low.set()).union(other).with(b'-'),
                None => set = set.union(low.set()).with(b'-'),
            }
        }
        let set = self.folded(set);
        Ok(if negated { set.complement() } else { set })
    }

    /// Whether a hyphen and then the end of a range are next.
    fn range_follows(&self) -> bool {
        match self.rest() {
            [b'-', b']', ..] | [b'-'] => false,
            [b'-', b'[', b':' | b'.' | b'=', ..] => !matches!(set::posix(&self.rest()[1..]), Ok(Some(_))),
            [b'-', ..] => true,
            _ => false,
        }
    }

    /// One byte or one set of a class; none for `\E`.
    fn member(&mut self, class: usize) -> Result<Option<Member>, PatternError> {
        let Some(byte) = self.peek() else {
            return Err(Reason::ClassOpen.at(class));
        };
        self.position += 1;
        if byte != b'\\' {
            return Ok(Some(Member::Byte(byte)));
        }
        let start = self.position - 1;
        Ok(Some(match self.peek() {
            None => return Err(Reason::ClassOpen.at(class)),
            Some(b'b') => {
                self.position += 1;
                Member::Byte(0x08)
            }
            Some(b'E') => {
                self.position += 1;
                return Ok(None);
            }
            Some(b'Q') => return Err(Reason::Unsupported("\\Q in a class").at(start)),
            // Outside classes these are places or references; in them, PCRE takes the letter, and digits as octal.
            Some(byte @ (b'B' | b'R' | b'X' | b'8' | b'9')) => {
                self.position += 1;
                Member::Byte(byte)
            }
            Some(kind) => {
                let fold = std::mem::take(&mut self.flags.fold);
                let set = self.set_escape(start);
                self.flags.fold = fold;
                let set = set?;
                match (set::shorthand(kind), set.iter().next()) {
                    (None, Some(byte)) => Member::Byte(byte),
                    _ => Member::Set(set),
                }
            }
        }))
    }
}

/// A member of a class.
enum Member {
    Byte(u8),
    Set(ByteSet),
}

impl Member {
    const fn only(&self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(*byte),
            Self::Set(_) => None,
        }
    }

    const fn set(&self) -> ByteSet {
        match self {
            Self::Byte(byte) => ByteSet::EMPTY.with(*byte),
            Self::Set(set) => *set,
        }
    }
}

/// The decimal number of ASCII digits; saturating.
pub(super) fn number(digits: &[u8]) -> u32 {
    radix(digits, 10)
}

fn radix(digits: &[u8], base: u32) -> u32 {
    let values = digits.iter().filter_map(|byte| char::from(*byte).to_digit(base));
    values.fold(0, |number: u32, digit| {
        number.saturating_mul(base).saturating_add(digit)
    })
}

fn narrow(value: u32) -> Result<u8, Reason> {
    u8::try_from(value).map_err(|_| Reason::EscapeWide(value))
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`: the bounds and the length.
fn braces(text: &[u8]) -> Option<(u32, Option<u32>, usize)> {
    let end = memchr::memchr(b'}', text)?;
    let inside = &text[1..end];
    let decimal = |digits: &[u8]| (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then(|| number(digits));
    let (min, max) = match memchr::memchr(b',', inside) {
        None => (decimal(inside)?, Some(decimal(inside)?)),
        Some(comma) if comma + 1 == inside.len() => (decimal(&inside[..comma])?, None),
        Some(comma) => (decimal(&inside[..comma])?, Some(decimal(&inside[comma + 1..])?)),
    };
    Some((min, max, end + 1))
}
