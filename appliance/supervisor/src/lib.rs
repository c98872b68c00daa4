//! Starts, confines, watches and restarts each service; the wiring between them.
