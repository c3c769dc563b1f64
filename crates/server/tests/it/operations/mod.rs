//! The operation table (house rule 11), and every test that comes from it.
//!
//! [`table`] lists the operations; a row there is all that a new operation needs. Each test loops over the table and says at
//! its end how much it tried. Invariant: an operation of the document that is missing from the table fails, and the other
//! way round.

mod access;
mod audit;
mod coverage;
mod input;
mod repeat;
pub(crate) mod table;
pub(crate) mod world;
