//! Rule files as bytes into directives with their arguments: comments, continuation lines, quotes.

use super::Problem;

/// One directive of a rule file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Directive {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// As written.
    pub(crate) name: String,
    /// Without their quotes.
    pub(crate) arguments: Vec<Vec<u8>>,
}

/// Splits a rule file into directives; what is none is a mistake with its line.
///
/// A comment ends with its line even if that ends with a backslash: a commented-out line never swallows the live rule below it.
pub(crate) fn directives(text: &[u8]) -> Vec<Result<Directive, (usize, Problem)>> {
    let mut found = Vec::new();
    let mut joined: Vec<u8> = Vec::new();
    let mut first = 0;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if first == 0 {
            let start = line.trim_ascii_start();
            if start.is_empty() || start.starts_with(b"#") {
                continue;
            }
            first = index + 1;
        }
        if let Some(continued) = line.strip_suffix(b"\\") {
            joined.extend_from_slice(continued);
            continue;
        }
        joined.extend_from_slice(line);
        found.extend(
            directive(first, &joined)
                .map_err(|problem| (first, problem))
                .transpose(),
        );
        joined.clear();
        first = 0;
    }
    if first != 0 {
        found.extend(
            directive(first, &joined)
                .map_err(|problem| (first, problem))
                .transpose(),
        );
    }
    found
}

fn directive(line: usize, text: &[u8]) -> Result<Option<Directive>, Problem> {
    let mut rest = text.trim_ascii();
    let Some(name) = word(&mut rest)? else { return Ok(None) };
    let mut arguments = Vec::new();
    while let Some(argument) = word(&mut rest)? {
        arguments.push(argument);
    }
    Ok(Some(Directive {
        line,
        name: String::from_utf8_lossy(&name).into_owned(),
        arguments,
    }))
}

/// Takes the next word: quoted (the quote inside is written `\"`), or up to white space.
fn word(rest: &mut &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    *rest = rest.trim_ascii_start();
    let Some(first) = rest.first().copied() else {
        return Ok(None);
    };
    if first != b'"' && first != b'\'' {
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let (taken, left) = rest.split_at(end);
        *rest = left;
        return Ok(Some(taken.to_vec()));
    }
    let mut taken = Vec::new();
    let mut at = 1;
    loop {
        match (rest.get(at), rest.get(at + 1)) {
            (None, _) => return Err(Problem::UnclosedQuote),
            (Some(b'\\'), Some(next)) if *next == first => {
                taken.push(first);
                at += 2;
            }
            // An escaped backslash stays as written (regular expressions need both) but does not escape the quote after it.
            (Some(b'\\'), Some(b'\\')) => {
                taken.extend_from_slice(b"\\\\");
                at += 2;
            }
            (Some(byte), _) if *byte == first => break,
            (Some(byte), _) => {
                taken.push(*byte);
                at += 1;
            }
        }
    }
    *rest = rest.get(at + 1..).unwrap_or_default();
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(Problem::TextAfterQuote),
        _ => Ok(Some(taken)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, Vec<String>)> {
        directives(text.as_bytes())
            .into_iter()
            .map(|d| {
                let d = d.unwrap();
                let arguments = d.arguments.into_iter().map(|a| String::from_utf8(a).unwrap()).collect();
                (d.line, d.name, arguments)
            })
            .collect()
    }

    #[test]
    fn continued_lines_are_one_directive_with_the_number_of_the_first() {
        let found = read("# a comment \\\n\nSecRule ARGS \"@rx a\\\"b\" \\\n  \"id:1,\\\n   pass\"\r\nSecMarker END");
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            (
                3,
                "SecRule".into(),
                vec!["ARGS".into(), "@rx a\"b".into(), "id:1,   pass".into()]
            )
        );
        assert_eq!(found[1], (6, "SecMarker".into(), vec!["END".into()]));
    }

    #[test]
    fn an_open_quote_is_an_error_with_its_line() {
        assert!(matches!(
            directives(b"\nSecMarker \"END\nSecMarker END").as_slice(),
            [Err((2, Problem::UnclosedQuote)), Ok(_)]
        ));
        assert!(matches!(
            directives(b"SecMarker \"END\"x").as_slice(),
            [Err((1, Problem::TextAfterQuote))]
        ));
    }

    #[test]
    fn an_escaped_backslash_does_not_escape_the_closing_quote() {
        assert_eq!(
            read(r#"SecRule ARGS "@rx a\\" "id:1""#)[0].2,
            ["ARGS", r"@rx a\\", "id:1"]
        );
    }
}
