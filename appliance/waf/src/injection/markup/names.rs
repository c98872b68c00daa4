//! The names of tags, attributes and protocols that run scripts.

/// What an attribute's value may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Attribute {
    /// Nothing.
    Harmless,
    /// Run a script, whatever it is.
    Dangerous,
    /// Run a script if it is an address with certain protocols.
    Address,
    /// Name another attribute.
    Indirect,
}

const DANGEROUS_TAGS: [&[u8]; 20] = [
    b"APPLET",
    b"BASE",
    b"COMMENT",
    b"EMBED",
    b"FRAME",
    b"FRAMESET",
    b"HANDLER",
    b"IFRAME",
    b"IMPORT",
    b"ISINDEX",
    b"LINK",
    b"LISTENER",
    b"META",
    b"NOSCRIPT",
    b"OBJECT",
    b"SCRIPT",
    b"STYLE",
    b"VMLFRAME",
    b"XML",
    b"XSS",
];

const DANGEROUS_ATTRIBUTES: [&[u8]; 4] = [b"DATAFORMATAS", b"DATASRC", b"FILTER", b"STYLE"];

const ADDRESSES: [&[u8]; 15] = [
    b"ACTION",
    b"BACKGROUND",
    b"BY",
    b"DYNSRC",
    b"FOLDER",
    b"FORMACTION",
    b"FROM",
    b"HANDLER",
    b"HREF",
    b"LOWSRC",
    b"POSTER",
    b"SRC",
    b"TO",
    b"VALUES",
    b"XLINK:HREF",
];

/// Protocols that run scripts or show sources; `java` stands for `javascript`, too.
const DANGEROUS_PROTOCOLS: [&[u8]; 4] = [b"DATA", b"JAVA", b"VBSCRIPT", b"VIEW-SOURCE"];

/// Whether the text is the name, whatever its case and however many NULs are in it, which browsers have ignored.
pub(super) fn equal(name: &[u8], text: &[u8]) -> bool {
    name.iter()
        .copied()
        .eq(text.iter().filter(|byte| **byte != 0).map(u8::to_ascii_uppercase))
}

fn starts(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

impl Attribute {
    /// What an attribute of this name is.
    ///
    /// Every name that starts with `on` is an event handler. Newer versions of libinjection list the handlers; what browsers add
    /// after such a list goes past it, and no benign value of our corpus has an attribute that only looks like one.
    pub(super) fn of(name: &[u8]) -> Self {
        if name.len() >= 5 && (starts(name, b"on") || equal(b"XMLNS", &name[..5]) || equal(b"XLINK", &name[..5])) {
            return Self::Dangerous;
        }
        if name.len() < 2 {
            return Self::Harmless;
        }
        let is_in = |names: &[&[u8]]| names.iter().any(|known| equal(known, name));
        if is_in(&ADDRESSES) {
            Self::Address
        } else if is_in(&DANGEROUS_ATTRIBUTES) {
            Self::Dangerous
        } else if equal(b"ATTRIBUTENAME", name) {
            Self::Indirect
        } else {
            Self::Harmless
        }
    }
}

pub(super) fn is_dangerous_tag(name: &[u8]) -> bool {
    name.len() >= 3
        && (starts(name, b"svg") || starts(name, b"xsl") || DANGEROUS_TAGS.iter().any(|known| equal(known, name)))
}

/// Whether an address has one of the protocols, written plainly or with character references.
pub(super) fn is_dangerous_address(address: &[u8]) -> bool {
    // Browsers skip blanks and controls, some of them whatever is not ASCII.
    let start = address.iter().take_while(|byte| !matches!(byte, 33..127)).count();
    DANGEROUS_PROTOCOLS
        .iter()
        .any(|protocol| decodes_to(&address[start..], protocol))
}

/// Whether the decoded text starts so. NULs and line feeds in it do not count, nor do controls and blanks at its start.
fn decodes_to(text: &[u8], wanted: &[u8]) -> bool {
    let mut rest = text;
    let mut wanted = wanted.iter();
    let mut started = false;
    loop {
        let Some(next) = wanted.as_slice().first() else {
            return true;
        };
        if rest.is_empty() {
            return false;
        }
        let (code, length) = character(rest);
        rest = &rest[length..];
        if !started && code <= 32 {
            continue;
        }
        started = true;
        if matches!(code, 0 | 10) {
            continue;
        }
        // Only the low byte counts, after small letters have become capitals.
        let capital = u8::try_from(code).map_or_else(|_| code.to_be_bytes()[3], |byte| byte.to_ascii_uppercase());
        if capital != *next {
            return false;
        }
        wanted.next();
    }
}

/// The first character of a text, and how many bytes it takes. Of the references, only the numeric ones are decoded.
fn character(text: &[u8]) -> (u32, usize) {
    let plain = (u32::from(text[0]), 1);
    let (base, digits, prefix) = match text {
        [b'&', b'#', b'x' | b'X', digits @ ..] => (16, digits, 3),
        [b'&', b'#', digits @ ..] => (10, digits, 2),
        _ => return plain,
    };
    let mut code = 0_u32;
    let mut length = 0;
    for digit in digits.iter().map_while(|byte| char::from(*byte).to_digit(base)) {
        code = code * base + digit;
        length += 1;
        // Above the last plane it is no reference. The first digit alone is not asked.
        if code > 0x10_00ff {
            return plain;
        }
    }
    if length == 0 {
        return plain;
    }
    (code, prefix + length + usize::from(digits.get(length) == Some(&b';')))
}
