//! The reference of every key, made from the types.

use std::fmt::Write as _;

use crate::document::Appliance;
use crate::read::{Key, Read, Shape, quoted, shape_words};

/// The reference as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Reference of `redan.toml`\n\nEvery key with its type, its default and what it means. Made from the types; do not edit by hand.\n\
         Names in capitals are chosen by the operator. `redan config check FILE` reports all mistakes of a document.\n",
    );
    let Shape::Section { about, keys } = Appliance::shape() else {
        return out;
    };
    section(&mut out, "", about, &keys);
    out
}

fn section(out: &mut String, path: &str, about: &str, keys: &[Key]) {
    let title = if path.is_empty() {
        "The document".to_owned()
    } else {
        format!("`{path}`")
    };
    let about = about.trim();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n## {title}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
    );
    for key in keys {
        let default = match (key.default, key.required) {
            (Some("{}"), _) if matches!(key.shape, Shape::Map(..)) => "(none)".to_owned(),
            (Some("{}"), _) => "(each key's)".to_owned(),
            (Some(default), _) => format!("`{}`", quoted(default)),
            (None, true) => "**required**".to_owned(),
            (None, false) => "(absent)".to_owned(),
        };
        let mut kind = match (&key.shape, key.range) {
            (Shape::Section { .. }, _) => "a table".to_owned(),
            (Shape::List(of), _) if matches!(**of, Shape::Section { .. }) => "a list of tables".to_owned(),
            (Shape::Map(name, of), _) if matches!(**of, Shape::Section { .. }) => format!("a table for each {name}"),
            (shape, _) => shape_words(shape),
        };
        if let Some((least, most)) = key.range
            && least != most
        {
            let _ = write!(kind, "; `{}` to `{}`", quoted(least), quoted(most));
        }
        let about = key.about.trim().replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {} | {default} | {about} |",
            key.name,
            kind.replace('|', "\\|")
        );
    }
    for key in keys {
        let below = if path.is_empty() || path.ends_with(']') && !path.starts_with('[') {
            key.name.to_owned()
        } else {
            format!("{}.{}", path.trim_matches(['[', ']']), key.name)
        };
        match &key.shape {
            Shape::Section { about, keys } => section(out, &format!("[{below}]"), about, keys),
            Shape::List(of) => {
                if let Shape::Section { about, keys } = &**of {
                    section(out, &format!("[[{below}]]"), about, keys);
                }
            }
            Shape::Map(name, of) => {
                if let Shape::Section { about, keys } = &**of {
                    section(out, &format!("[{below}.{name}]"), about, keys);
                }
            }
            Shape::Value(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::document::Appliance;
    use crate::read::{Read, Shape};

    fn walk(shape: &Shape, path: &str, seen: &mut usize) {
        match shape {
            Shape::Value(_) => {}
            Shape::List(of) | Shape::Map(_, of) => walk(of, path, seen),
            Shape::Section { keys, .. } => {
                for key in keys {
                    let path = format!("{path}.{}", key.name);
                    assert!(
                        (key.literals)(),
                        "{path}: the default or a bound cannot be read, or the default is out of bounds"
                    );
                    *seen += 1;
                    walk(&key.shape, &path, seen);
                }
            }
        }
    }

    #[test]
    fn every_default_and_every_bound_can_be_read() {
        let mut seen = 0;
        walk(&Appliance::shape(), "", &mut seen);
        assert!(seen > 90, "{seen}");
    }
}
