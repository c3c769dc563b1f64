//! Who people are: the tokens of the issuer, and the provider that keeps organizations and accounts.
//!
//! `api/auth.rs` asks the verifier, `app` the provider. Invariant: nothing here decides what somebody may do.

pub mod keycloak;
pub mod mock;
pub mod provider;
pub mod tokens;
