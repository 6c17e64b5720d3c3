//! Signatures of agents: who has made a program, whoever hands it out.
//!
//! A control plane that was taken over must not become every host by an upgrade. So what it hands out is signed by a key
//! that it does not have, and hosts keep the public half. The format is minisign's, both of keys and of signatures, so that
//! the program of that name makes and verifies the same: a signature is over the BLAKE2b-512 of the file, and a second one
//! over the first and a comment, which says what the file is ([`Claim`]).

mod claim;
mod key;
mod signature;

pub use claim::{Architecture, Claim, ClaimError, PROGRAM};
pub use key::{ReleaseKey, ReleaseKeyError, ReleaseKeys, ReleaseSecret};
pub use signature::{FileDigest, Signature, SignatureError, SignatureRefusal, Signed};
