//! What is known of a transaction: single values, and collections of named ones.

use super::{TextId, Variable};

/// A value: a text, or a number that becomes one when somebody reads it as text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    Number(i64),
    Text(TextId),
}

/// A named value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) key: TextId,
    pub(crate) value: Word,
}

/// The collections that are stored; others are views of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bag {
    ArgsGet,
    ArgsPost,
    Env,
    Files,
    FilesNames,
    FilesSizes,
    FilesTmpContent,
    FilesTmpNames,
    MultipartFilename,
    MultipartName,
    MultipartPartHeaders,
    RequestCookies,
    RequestHeaders,
    ResponseHeaders,
}

impl Bag {
    const COUNT: usize = Self::ResponseHeaders as usize + 1;
}

/// A collection as rules see it: some bags, their values or their keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) bags: &'static [Bag],
    pub(crate) keys: bool,
}

impl View {
    /// The bags behind a variable, if it is such a collection.
    pub(crate) const fn of(variable: Variable) -> Option<Self> {
        const fn values(bags: &'static [Bag]) -> Option<View> {
            Some(View { bags, keys: false })
        }
        const fn keys(bags: &'static [Bag]) -> Option<View> {
            Some(View { bags, keys: true })
        }
        match variable {
            Variable::Args => values(&[Bag::ArgsGet, Bag::ArgsPost]),
            Variable::ArgsGet => values(&[Bag::ArgsGet]),
            Variable::ArgsGetNames => keys(&[Bag::ArgsGet]),
            Variable::ArgsNames => keys(&[Bag::ArgsGet, Bag::ArgsPost]),
            Variable::ArgsPost => values(&[Bag::ArgsPost]),
            Variable::ArgsPostNames => keys(&[Bag::ArgsPost]),
            Variable::Env => values(&[Bag::Env]),
            Variable::Files => values(&[Bag::Files]),
            Variable::FilesNames => values(&[Bag::FilesNames]),
            Variable::FilesSizes => values(&[Bag::FilesSizes]),
            Variable::FilesTmpContent => values(&[Bag::FilesTmpContent]),
            Variable::FilesTmpNames => values(&[Bag::FilesTmpNames]),
            Variable::MultipartFilename => values(&[Bag::MultipartFilename]),
            Variable::MultipartName => values(&[Bag::MultipartName]),
            Variable::MultipartPartHeaders => values(&[Bag::MultipartPartHeaders]),
            Variable::RequestCookies => values(&[Bag::RequestCookies]),
            Variable::RequestCookiesNames => keys(&[Bag::RequestCookies]),
            Variable::RequestHeaders => values(&[Bag::RequestHeaders]),
            Variable::RequestHeadersNames => keys(&[Bag::RequestHeaders]),
            Variable::ResponseHeaders => values(&[Bag::ResponseHeaders]),
            Variable::ResponseHeadersNames => keys(&[Bag::ResponseHeaders]),
            _ => None,
        }
    }
}

/// Single values and bags of one transaction.
#[derive(Debug)]
pub(crate) struct Fields {
    single: [Option<Word>; Variable::COUNT],
    bags: [Vec<Pair>; Bag::COUNT],
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self {
            single: [None; Variable::COUNT],
            bags: Default::default(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.single = [None; Variable::COUNT];
        for bag in &mut self.bags {
            bag.clear();
        }
    }

    pub(crate) fn single(&self, variable: Variable) -> Option<Word> {
        self.single.get(variable.index()).copied().flatten()
    }

    pub(crate) fn set(&mut self, variable: Variable, word: Word) {
        if let Some(single) = self.single.get_mut(variable.index()) {
            *single = Some(word);
        }
    }

    pub(crate) fn bag(&self, bag: Bag) -> &[Pair] {
        self.bags.get(bag as usize).map_or(&[], Vec::as_slice)
    }

    /// Bytes of memory that the bags take at most.
    pub(crate) fn memory(&self) -> usize {
        let pairs: usize = self.bags.iter().map(Vec::len).sum();
        2 * pairs * size_of::<Pair>()
    }

    pub(crate) fn push(&mut self, bag: Bag, key: TextId, value: Word) {
        if let Some(bag) = self.bags.get_mut(bag as usize) {
            bag.push(Pair { key, value });
        }
    }
}
