//! The regular part of a pattern, for the linear-time engine.

use regex_automata::meta;
use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Dot, Hir, Look as HirLook, Repetition};

use super::error::{PatternError, Reason};
use super::{Look, Mode, Node};
use crate::bytes::ByteSet;

/// The most that the automaton of one pattern may take, in bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// What one thread's cache of one pattern may grow to, in bytes. The engine starts it over when it is full.
const CACHE_LIMIT: usize = 1 << 20;

pub(super) fn compile(hir: &Hir) -> Result<meta::Regex, PatternError> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(SIZE_LIMIT))
        .hybrid_cache_capacity(CACHE_LIMIT);
    meta::Builder::new()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| Reason::TooLarge.at(0))
}

/// The node for the linear-time engine. What is not regular becomes something that matches at least as much.
pub(super) fn translate(node: &Node) -> Hir {
    match node {
        // A condition that is dropped only lets more through. A group captured in it has no place, and so the linear engine is
        // never asked for the groups of such a pattern.
        Node::Empty | Node::Around { .. } => Hir::empty(),
        Node::Set(bytes) => set(*bytes),
        Node::Look(look) => place(*look),
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(translate).collect()),
        Node::Alternation(nodes) => Hir::alternation(nodes.iter().map(translate).collect()),
        Node::Capture(index, node) => Hir::capture(Capture {
            index: *index,
            name: None,
            sub: Box::new(translate(node)),
        }),
        Node::Repeat { node, min, max, mode } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: *mode != Mode::Lazy,
            sub: Box::new(translate(node)),
        }),
        Node::Atomic(node) => translate(node),
        Node::Reference { .. } => Hir::repetition(Repetition {
            min: 0,
            max: None,
            greedy: true,
            sub: Box::new(Hir::dot(Dot::AnyByte)),
        }),
    }
}

fn set(bytes: ByteSet) -> Hir {
    if bytes.len() == 1 {
        return Hir::literal(bytes.iter().collect::<Vec<u8>>());
    }
    let ranges = bytes.iter().map(|byte| ClassBytesRange::new(byte, byte));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

fn place(look: Look) -> Hir {
    Hir::look(match look {
        Look::Start => HirLook::Start,
        Look::End => HirLook::End,
        Look::EndOrNewline => return Hir::empty(),
        Look::LineStart => HirLook::StartLF,
        Look::LineEnd => HirLook::EndLF,
        Look::Word => HirLook::WordAscii,
        Look::NotWord => HirLook::WordAsciiNegate,
    })
}
