//! Cross-site scripting: the value is read as HTML, as old and lenient browsers read it, and searched for what runs scripts.
//!
//! Nobody sees the page around the value, so it is read in five places: between tags, and within a tag as an attribute or in the
//! value of one, with each kind of quote.

mod names;
mod reader;

use memchr::{memchr, memchr2};

use self::names::Attribute;
use self::reader::{Kind, Place, Reader};

/// Whether the value is a cross-site scripting attack.
#[must_use]
pub fn detect_xss(value: &[u8]) -> bool {
    // Only a tag, a declaration or an attribute with a value can be one.
    if memchr2(b'<', b'=', value).is_none() {
        return false;
    }
    let in_quotes = |quote: u8| memchr(quote, value).is_some() && is_attack(value, Place::Quoted(quote));
    memchr(b'<', value).is_some() && is_attack(value, Place::Text)
        || is_attack(value, Place::Attributes)
        || in_quotes(b'\'')
        || in_quotes(b'"')
        || in_quotes(b'`')
}

fn is_attack(value: &[u8], place: Place) -> bool {
    let mut attribute = Attribute::Harmless;
    for token in Reader::new(value, place) {
        let before = std::mem::replace(&mut attribute, Attribute::Harmless);
        let attack = match token.kind {
            Kind::Doctype => true,
            Kind::Opening => names::is_dangerous_tag(token.text),
            Kind::Name => {
                attribute = Attribute::of(token.text);
                false
            }
            Kind::Value => match before {
                Attribute::Harmless => false,
                Attribute::Dangerous => true,
                Attribute::Address => names::is_dangerous_address(token.text),
                Attribute::Indirect => Attribute::of(token.text) != Attribute::Harmless,
            },
            Kind::Comment => is_dangerous_comment(token.text),
            Kind::Other => false,
        };
        if attack {
            return true;
        }
    }
    false
}

/// Comments that some browser takes for more.
fn is_dangerous_comment(text: &[u8]) -> bool {
    let starts = |mark: &[u8]| {
        text.get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark))
    };
    // Internet Explorer ends a tag at a backtick, and has conditional comments.
    memchr(b'`', text).is_some()
        || text.len() > 3 && (starts(b"[if") || starts(b"xml"))
        || text.len() > 5
            && [&b"IMPORT"[..], b"ENTITY"]
                .iter()
                .any(|word| names::equal(word, &text[..6]))
}

#[cfg(test)]
mod tests;
