//! Who somebody is and what they may do, as pure logic: no sockets, no files, no clock. Time is a parameter.
//!
//! | module | what it decides | used by |
//! |---|---|---|
//! | [`api_key`] | what an API key looks like, how it is kept, how long it works | proxy, console, vault |
//! | [`path`] | the one reading of a request's path, or that there are two | proxy |
//! | [`table`] | whether roles may send a method to a path: the compiled form | proxy, manager |
//! | [`rule`] | rules as they are written down | manager |
//! | [`session`] | session tokens and how long they live | vault |
//! | [`throttle`] | who must wait before another guess | vault |
//! | [`lockout`] | when guesses close an account to strangers | vault |
//! | [`password`] (feature `passwords`) | rules for passwords and their hashes | vault |
//! | [`weak`] (feature `passwords`) | how hard a password is to guess | vault |
//! | [`policy`] (feature `policy`) | Casbin: where rules are explained and compiled into tables | manager |
//!
//! Randomness comes from the kernel (`getrandom`), which is the only thing here that is not a function of its arguments.
#![forbid(unsafe_code)]

pub mod api_key;
pub mod lockout;
#[cfg(feature = "passwords")]
pub mod password;
pub mod path;
#[cfg(feature = "policy")]
pub mod policy;
pub mod rule;
pub mod session;
pub mod table;
pub mod throttle;
#[cfg(feature = "passwords")]
pub mod weak;

/// The kernel has no random bytes to give. Whoever sees this cannot make a secret and must refuse.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the kernel gives no random bytes")]
pub struct NoRandomness;

fn random<const N: usize>() -> Result<zeroize::Zeroizing<[u8; N]>, NoRandomness> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
