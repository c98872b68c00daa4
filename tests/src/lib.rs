//! What crosses processes: end to end, faults, attacks.
