//! The real Keycloak: the server that tests share, realms in it, a mail sink, and a browser's part in a login.
//!
//! Tests of other files take [`RealKeycloak::shared`] and a realm of their own. Invariant: nothing of it runs where
//! `TEST_SHORT` is set, and nothing of it is left when the tests have ended.

pub(crate) mod browser;
pub(crate) mod http;
pub(crate) mod real;
pub(crate) mod realm;
pub(crate) mod sink;
pub(crate) mod watchdog;

#[cfg(test)]
mod bundle;
#[cfg(test)]
mod invitation;
#[cfg(test)]
mod mapper;
#[cfg(test)]
mod set_up;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod transcript;
