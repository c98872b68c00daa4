//! The store, the keys, the users and the audit log: the one room that holds secrets.
