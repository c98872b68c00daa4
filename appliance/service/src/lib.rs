//! The start, wiring and heartbeat that every service shares.
