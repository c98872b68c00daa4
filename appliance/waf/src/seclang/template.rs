//! Texts with macros (`%{tx.score}`), read once.

use super::{Problem, Slots};
use crate::engine::Variable;

/// A text with macros in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

/// A part of a text.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Stands as it is.
    Text(Vec<u8>),
    /// Is looked up when the text is needed.
    Value(Reference),
}

/// What a macro names.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// The variable or collection.
    pub(crate) variable: Variable,
    /// The key in the collection.
    pub(crate) key: Option<Vec<u8>>,
    /// The slot, if it is a `TX` variable.
    pub(crate) slot: Option<usize>,
}

impl Template {
    /// Reads a text. A `%{` without its bracket stays as it is, as in ModSecurity; a name that is no variable is a mistake.
    pub(crate) fn parse(text: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some((first, left)) = rest.split_first() {
            let close = left.iter().position(|byte| *byte == b'}');
            if let (b'%', Some(b'{'), Some(close)) = (*first, left.first(), close) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                let name = left.get(1..close).unwrap_or_default();
                pieces.push(Piece::Value(Reference::parse(name, slots)?));
                rest = left.get(close + 1..).unwrap_or_default();
            } else {
                plain.push(*first);
                rest = left;
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// The text as written.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(&String::from_utf8_lossy(plain)),
                Piece::Value(reference) => {
                    text.push_str("%{");
                    text.push_str(reference.variable.name());
                    if let Some(key) = &reference.key {
                        text.push('.');
                        text.push_str(&String::from_utf8_lossy(key));
                    }
                    text.push('}');
                }
            }
        }
        text
    }

    /// Its parts in order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The whole text, if it has no macro.
    pub(crate) fn as_plain(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The macro, if the text is one macro and nothing else.
    pub(crate) fn as_reference(&self) -> Option<&Reference> {
        match self.pieces.as_slice() {
            [Piece::Value(reference)] => Some(reference),
            _ => None,
        }
    }
}

impl Reference {
    fn parse(name: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let split = name.iter().position(|byte| *byte == b'.' || *byte == b':');
        let (variable, key) = match split {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..)),
            None => (name, None),
        };
        let variable = Variable::parse(variable.trim_ascii())
            .ok_or_else(|| Problem::UnknownVariable(String::from_utf8_lossy(name).into_owned()))?;
        let slot = match (variable, key) {
            (Variable::Tx, Some(key)) => Some(slots.number(key)),
            _ => None,
        };
        Ok(Self {
            variable,
            key: key.map(<[u8]>::to_vec),
            slot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_and_text_around_them_stays() {
        let mut slots = Slots::default();
        let template = Template::parse(b"a %{tx.Score}-%{MATCHED_VAR} 100%{", &mut slots).unwrap();
        let [
            Piece::Text(a),
            Piece::Value(score),
            Piece::Text(dash),
            Piece::Value(matched),
            Piece::Text(end),
        ] = template.pieces()
        else {
            panic!("{template:?}");
        };
        assert_eq!(
            (a.as_slice(), dash.as_slice(), end.as_slice()),
            (&b"a "[..], &b"-"[..], &b" 100%{"[..])
        );
        assert_eq!(score.slot, slots.find(b"score"));
        assert_eq!(matched.variable, Variable::MatchedVar);
    }

    #[test]
    fn a_macro_of_an_unknown_variable_is_a_mistake() {
        assert!(matches!(
            Template::parse(b"%{nosuch.x}", &mut Slots::default()),
            Err(Problem::UnknownVariable(_))
        ));
    }
}
