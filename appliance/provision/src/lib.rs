//! The appliance's serial line: a menu, no shell, on an 80×24 terminal (VT100, plain ASCII, no other knowledge of the terminal).
//!
//! | module | what |
//! |---|---|
//! | [`address`] | another address in the document that runs |
//! | [`menu`] | what is shown and what follows on what is typed; bytes in, bytes out, time as a parameter |
//! | [`line`](mod@line) | from bytes to lines, and to a pasted document |
//! | [`stick`] | a stick: its volume, its document, its signature |
//! | `sticks` | what becomes of a stick that was plugged in |
//! | [`text`] | what a terminal may be sent |
//! | [`world`] | what the menu asks the manager and the supervisor |
//! | [`serial`] | the line itself |
//!
//! The process has the serial line and nothing else: no file, no network. It is asked by nobody, and asks the manager as an operator
//! would and the supervisor about the machine. What comes over the line is foreign: every buffer is bounded, and nothing of it reaches
//! the terminal again unchecked.
#![forbid(unsafe_code)]

pub mod address;
pub mod line;
pub mod menu;
mod screens;
pub mod serial;
pub mod stick;
mod sticks;
pub mod text;
pub mod world;
