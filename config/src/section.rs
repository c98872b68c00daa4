//! The macros that define sections and words: a type, its reader, its entries in the reference and its form for the diff in one
//! place, so that they cannot drift apart.

/// A path from its parts.
macro_rules! at {
    ($($part:expr),+ $(,)?) => {
        [$($part.to_string()),+].join("\u{1f}")
    };
}

/// Defines a section of the document: the struct, its reader, its entries in the reference, its form for the diff.
///
/// A key is written `"key" => field: Type = "default as TOML text", "least" ..= "most";`, the default and the bounds where it has
/// them. Without a default the key is required, unless the type is an `Option`. `or "text"` after the name is what stands in for a
/// section of the document that cannot be read.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $type:ident $(or $stand_in:literal)? {
            $(
                $(#[doc = $doc:literal])+
                $key:literal => $field:ident: $kind:ty $(= $default:literal)? $(, $least:literal ..= $most:literal)?;
            )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $type {
            $( $(#[doc = $doc])+ pub $field: $kind, )*
        }

        impl $crate::read::Read for $type {
            fn shape() -> $crate::read::Shape {
                $crate::read::Shape::Section {
                    about: concat!($($about),+),
                    keys: vec![$( $crate::read::Key {
                        name: $key,
                        about: concat!($($doc),+),
                        default: $crate::section::optional!($($default)?),
                        range: $crate::section::optional!($(($least, $most))?),
                        required: $crate::read::is_required::<$kind>($crate::section::optional!($($default)?)),
                        shape: <$kind as $crate::read::Read>::shape(),
                        #[cfg(test)]
                        literals: || $crate::read::literals_read::<$kind>(
                            $crate::section::optional!($($default)?),
                            $crate::section::optional!($(($least, $most))?),
                            $crate::section::check!($kind $(, ($least, $most))?),
                        ),
                    } ),*],
                }
            }

            fn read(node: &$crate::read::Node<'_>, reader: &mut $crate::read::Reader) -> Option<Self> {
                let table = reader.table(node, &[$($key),*])?;
                $(
                    let $field = reader.field::<$kind>(
                        Some((table, node.span())),
                        $key,
                        $crate::section::optional!($($default)?),
                        $crate::section::check!($kind $(, ($least, $most))?),
                    );
                )*
                Some(Self { $( $field: $field?, )* })
            }

            $(fn stand_in() -> Option<Self> {
                $crate::read::read_text($stand_in)
            })?

            fn tree(&self) -> $crate::read::Tree {
                $crate::read::Tree::Section(vec![$( ($key, $crate::read::Read::tree(&self.$field)) ),*])
            }
        }
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! check {
    ($kind:ty) => {
        |_: &$kind, _: &$crate::read::Node<'_>, _: &mut $crate::read::Reader| true
    };
    ($kind:ty, $range:expr) => {
        |value: &$kind, node: &$crate::read::Node<'_>, reader: &mut $crate::read::Reader| {
            $crate::read::within(Some($range), value, node, reader)
        }
    };
}

/// Defines an enum whose variants are written as words.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        pub enum $type:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $type { $( $(#[doc = $doc])+ $variant, )+ }

        impl $type {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the document.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::read::Read for $type {
            fn shape() -> $crate::read::Shape {
                let words = [$(concat!("`\"", $word, "\"`")),+];
                $crate::read::Shape::Value(words.join(" or "))
            }

            fn read(node: &$crate::read::Node<'_>, reader: &mut $crate::read::Reader) -> Option<Self> {
                let text = reader.text(node, "a string")?;
                let found = Self::ALL.iter().copied().find(|one| one.word() == text);
                if found.is_none() {
                    $crate::suggest::not_a_word(text, &[$($word),+], node, reader);
                }
                found
            }

            fn tree(&self) -> $crate::read::Tree {
                $crate::read::Tree::Value(self.word().to_owned())
            }
        }
    };
}

pub(crate) use {at, check, optional, section, words};
