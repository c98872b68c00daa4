//! Hardware abstraction: key devices and board devices.
