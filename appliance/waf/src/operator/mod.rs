//! Operators: what a rule asks of a value (`@rx`, `@pm`, …).
