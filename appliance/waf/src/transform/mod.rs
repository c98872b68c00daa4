//! Transformations: what a rule does to a value before it looks at it (`t:…`).
