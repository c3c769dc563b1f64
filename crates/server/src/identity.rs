//! Who people are: the tokens of the issuer.
//!
//! `api/auth.rs` asks the verifier. Invariant: nothing here decides what somebody may do.

pub mod tokens;
