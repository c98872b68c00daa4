//! Bodies on their way through: content in pieces, then trailers. A stage may change what passes, its length included, and the body
//! is then framed anew.

use redan_http1::{ContentCount, Fields, Framing, Refusal, ResponseFraming, write_chunk, write_last_chunk};

/// What came of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Content.
    Data,
    /// The end.
    End,
}

/// A stage that changes a body while it passes.
pub trait Transform: std::fmt::Debug {
    /// Takes a piece of content and appends what becomes of it, which may be nothing yet.
    fn data(&mut self, piece: &[u8], out: &mut Vec<u8>);

    /// The content is over: appends what is left of it.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Takes the trailers and gives those that go on.
    fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        trailers
    }
}

/// The stages that a body passes, in order. Usually none, and then it costs nothing.
#[derive(Debug, Default)]
pub struct Pipe {
    transforms: Vec<Box<dyn Transform>>,
}

impl Pipe {
    /// Adds a stage at the end.
    pub fn push(&mut self, transform: Box<dyn Transform>) {
        self.transforms.push(transform);
    }

    /// Whether content passes unchanged.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.transforms.is_empty()
    }

    /// How a response's body is framed after the stages: where one may change its length, what was announced is no longer true.
    #[must_use]
    pub const fn framing(&self, framing: ResponseFraming) -> ResponseFraming {
        match framing {
            ResponseFraming::Length(_) if !self.is_empty() => ResponseFraming::Chunked,
            ResponseFraming::None { .. } if !self.is_empty() => ResponseFraming::None { announced: None },
            other => other,
        }
    }

    /// Sends a piece of content through; `out` gets what comes out.
    pub fn data(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        Self::through(&mut self.transforms, piece, out);
    }

    /// Ends the content; `out` gets what the stages had kept back.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let mut rest = self.transforms.as_mut_slice();
        while let [first, others @ ..] = rest {
            let mut kept = Vec::new();
            first.end(&mut kept);
            Self::through(others, &kept, out);
            rest = others;
        }
    }

    /// Sends the trailers through.
    #[must_use]
    pub fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        self.transforms
            .iter_mut()
            .fold(trailers, |trailers, transform| transform.trailers(trailers))
    }

    fn through(transforms: &mut [Box<dyn Transform>], piece: &[u8], out: &mut Vec<u8>) {
        match transforms {
            [] => out.extend_from_slice(piece),
            [last] => last.data(piece, out),
            [first, others @ ..] => {
                let mut between = Vec::new();
                first.data(piece, &mut between);
                Self::through(others, &between, out);
            }
        }
    }
}

/// Frames content for HTTP/1.1, and makes sure that it is exactly as long as was said.
#[derive(Debug)]
pub(crate) struct Encoder {
    kind: Kind,
    count: ContentCount,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Chunked,
    Plain,
}

impl Encoder {
    /// For a request that is sent on.
    pub(crate) const fn for_request(framing: Framing) -> Self {
        Self {
            kind: match framing {
                Framing::Chunked => Kind::Chunked,
                Framing::Length(_) | Framing::None => Kind::Plain,
            },
            count: ContentCount::new(framing),
        }
    }

    /// For a response.
    pub(crate) const fn for_response(framing: ResponseFraming) -> Self {
        let (kind, announced) = match framing {
            ResponseFraming::Chunked => (Kind::Chunked, Framing::Chunked),
            ResponseFraming::Length(length) => (Kind::Plain, Framing::Length(length)),
            ResponseFraming::None { .. } => (Kind::Plain, Framing::None),
            // No length to hold it against: the end of the connection ends it.
            ResponseFraming::UntilClose => (Kind::Plain, Framing::Chunked),
        };
        Self {
            kind,
            count: ContentCount::new(announced),
        }
    }

    /// Appends a piece of content.
    pub(crate) fn data(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.count.add(piece.len())?;
        match self.kind {
            Kind::Chunked => write_chunk(out, piece),
            Kind::Plain => out.extend_from_slice(piece),
        }
        Ok(())
    }

    /// Appends the end. Trailers have a place only after chunks, and are dropped elsewhere (RFC 9110 section 6.5.1).
    pub(crate) fn end(&mut self, trailers: Option<&Fields>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.count.finish()?;
        if self.kind == Kind::Chunked {
            write_last_chunk(out, trailers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoder, Pipe, Transform};
    use redan_http1::{Framing, Refusal, ResponseFraming};

    /// Doubles every byte, and keeps the last one back until the end.
    #[derive(Debug, Default)]
    struct Double(Option<u8>);

    impl Transform for Double {
        fn data(&mut self, piece: &[u8], out: &mut Vec<u8>) {
            for byte in piece {
                if let Some(kept) = self.0.replace(*byte) {
                    out.extend_from_slice(&[kept, kept]);
                }
            }
        }

        fn end(&mut self, out: &mut Vec<u8>) {
            if let Some(kept) = self.0.take() {
                out.extend_from_slice(&[kept, kept]);
            }
        }
    }

    #[test]
    fn a_stage_may_change_the_length_and_the_body_is_framed_anew() {
        let mut pipe = Pipe::default();
        assert_eq!(pipe.framing(ResponseFraming::Length(2)), ResponseFraming::Length(2));
        pipe.push(Box::new(Double::default()));
        pipe.push(Box::new(Double::default()));
        let framing = pipe.framing(ResponseFraming::Length(2));
        assert_eq!(framing, ResponseFraming::Chunked);

        let mut encoder = Encoder::for_response(framing);
        let (mut content, mut sent) = (Vec::new(), Vec::new());
        for piece in [b"a".as_slice(), b"b"] {
            pipe.data(piece, &mut content);
        }
        pipe.end(&mut content);
        assert_eq!(content, b"aaaabbbb");
        encoder.data(&content, &mut sent).unwrap();
        encoder.end(None, &mut sent).unwrap();
        assert_eq!(sent, b"8\r\naaaabbbb\r\n0\r\n\r\n");
    }

    #[test]
    fn content_of_another_length_than_announced_is_never_sent_on() {
        let mut out = Vec::new();
        let mut encoder = Encoder::for_request(Framing::Length(2));
        assert_eq!(encoder.end(None, &mut out), Err(Refusal::ContentLengthMismatch));
        encoder.data(b"ab", &mut out).unwrap();
        assert_eq!(encoder.data(b"c", &mut out), Err(Refusal::ContentLengthMismatch));
        assert_eq!(out, b"ab");
        assert!(encoder.end(None, &mut out).is_ok());
    }
}
