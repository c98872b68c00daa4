//! What holds for every input.
#![allow(missing_docs, reason = "the names of tests are their documentation")]

use proptest::prelude::*;
use redan_http1::{
    BodyDecoder, FieldName, FieldValue, Framing, Limits, Method, Persistence, Piece, Refusal, RequestHead,
    RequestWriter, Target, parse_request, parse_response, write_chunk, write_last_chunk,
};

/// Everything that a head says.
fn facts(head: &RequestHead) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields: Vec<_> = head
        .fields()
        .end_to_end()
        .map(|f| (f.name().as_str().to_owned(), f.value().as_bytes().to_vec()))
        .collect();
    (
        head.method(),
        head.path().to_owned(),
        head.query().map(str::to_owned),
        head.authority().clone(),
        // A method that expects content says that there is none.
        if head.framing() == Framing::None && head.method().expects_content() {
            Framing::Length(0)
        } else {
            head.framing()
        },
        fields,
    )
}

fn write(head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RequestWriter::begin(&mut out, head.method(), head.target(), head.authority());
    writer.forward(head.fields());
    writer.finish(head.framing(), Persistence::KeepAlive);
    out
}

fn method() -> impl Strategy<Value = Method> {
    proptest::sample::select(Method::ALL.to_vec())
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::None),
        Just(Framing::Chunked),
        (0..=1_u64 << 63).prop_map(Framing::Length)
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..40)
        .prop_map(|bytes| bytes.trim_ascii().to_vec())
}

/// Bytes that look enough like a head to get far into the parser.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::sample::select(vec![
            "GET ", "POST ", "OPTIONS ", "/", "*", "http://a", " HTTP/1.1", " HTTP/1.0", "\r\n", "\r\n", "\r\n", "\n", "\r", ":", ": ", " ",
            "\t", "Host: a", "Host", "Content-Length: ", "Transfer-Encoding: chunked", "chunked", ",", "0", "5", "Connection: ", "close",
            "Upgrade: ", "Upgrade", "X-A: b", "HTTP/1.1 200 OK", "HTTP/1.1 304 x", "\r\n\r\n", "0\r\n\r\n", "5\r\nabcde\r\n", ";", "#", "?",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A good head with a few bytes changed, taken away or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let good = "POST /a?b HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 3\r\nConnection: x, close\r\nX: y\r\nAccept: */*\r\n\r\nabc";
    proptest::collection::vec((0..good.len(), any::<u8>(), 0..3_u8), 0..4).prop_map(move |changes| {
        let mut bytes = good.as_bytes().to_vec();
        for (at, byte, kind) in changes {
            let at = at.min(bytes.len() - 1);
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// The first verdict over ever longer parts of `bytes`.
fn verdict_in_pieces(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
    for end in 0..=bytes.len() {
        match parse_request(&bytes[..end], limits) {
            Ok(None) => {}
            Ok(Some(parsed)) => return Ok(Some(parsed.consumed)),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_the_same(
        method in method(),
        path in "/[!-\"$->@-~]{0,30}",
        query in proptest::option::of("[!-\"$-~]{0,30}"),
        host in "[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,5}){0,2}(:[1-9][0-9]{0,3})?",
        fields in proptest::collection::vec(("x-[!#$%&'*+.^`|~0-9A-Za-z-]{0,20}", value()), 0..40),
        framing in framing(),
    ) {
        let mut out = Vec::new();
        let first = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let authority = parse_request(first.as_bytes(), &Limits::default()).unwrap().unwrap().head.authority().clone();
        let target = Target::new(&path, query.as_deref()).unwrap();
        let mut writer = RequestWriter::begin(&mut out, method, target, &authority);
        for (name, value) in &fields {
            writer.field(FieldName::new(name).unwrap(), FieldValue::new(value).unwrap());
        }
        writer.finish(framing, Persistence::KeepAlive);
        let parsed = parse_request(&out, &Limits::default()).unwrap().unwrap();
        prop_assert_eq!(parsed.consumed, out.len());
        let head = parsed.head;
        prop_assert_eq!((head.method(), head.path(), head.query()), (method, &*path, query.as_deref()));
        prop_assert_eq!(head.authority(), &authority);
        let expected = if framing == Framing::None && method.expects_content() { Framing::Length(0) } else { framing };
        prop_assert_eq!(head.framing(), expected);
        let read: Vec<_> = head.fields().end_to_end().map(|f| (f.name().as_str().to_owned(), f.value().as_bytes().to_vec())).collect();
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn what_was_read_is_written_so_that_it_reads_the_same(bytes in prop_oneof![nearly(), damaged()]) {
        if let Ok(Some(parsed)) = parse_request(&bytes, &Limits::default()) {
            let out = write(&parsed.head);
            let again = parse_request(&out, &Limits::default()).unwrap().unwrap();
            prop_assert_eq!(again.consumed, out.len());
            prop_assert_eq!(facts(&again.head), facts(&parsed.head));
            prop_assert_eq!(write(&again.head), out);
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_arrive(bytes in prop_oneof![nearly(), damaged()], head in 10..200_usize, line in 5..60_usize) {
        let tight = Limits { head, line, target: 20, fields: 3, ..Limits::default() };
        for limits in [Limits::default(), tight] {
            let whole = parse_request(&bytes, &limits).map(|parsed| parsed.map(|parsed| parsed.consumed));
            prop_assert_eq!(verdict_in_pieces(&bytes, &limits), whole);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), nearly()]) {
        let _ = parse_request(&bytes, &Limits::default());
        let _ = parse_response(&bytes, Method::Get, None, &Limits::default());
        let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
        let mut rest = &bytes[..];
        while let Ok(progress) = decoder.decode(rest) {
            rest = &rest[progress.consumed..];
            if !matches!(progress.piece, Piece::Data(_)) {
                break;
            }
        }
    }

    #[test]
    fn a_chunked_body_survives_any_split(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..10),
        steps in proptest::collection::vec(1..40_usize, 1..20),
    ) {
        let mut sent = Vec::new();
        for chunk in &chunks {
            write_chunk(&mut sent, chunk);
        }
        write_last_chunk(&mut sent, None);
        let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
        let (mut content, mut start, mut end, mut steps) = (Vec::new(), 0, 0, steps.into_iter().cycle());
        loop {
            let progress = decoder.decode(&sent[start..end]).unwrap();
            if let Piece::Data(range) = &progress.piece {
                content.extend_from_slice(&sent[start..end][range.clone()]);
            }
            start += progress.consumed;
            match progress.piece {
                Piece::End => break,
                Piece::Pending => end = (end + steps.next().unwrap()).min(sent.len()),
                Piece::Data(_) => {}
            }
        }
        prop_assert_eq!(start, sent.len());
        prop_assert_eq!(content, chunks.concat());
    }
}
