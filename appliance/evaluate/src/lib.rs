//! Builds everything and starts an evaluation appliance: cargo evaluate.
