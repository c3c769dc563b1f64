//! The operation table (house rule 11), and every test that comes from it.
//!
//! [`table`] lists the operations; a row there is all that a new operation needs. Each test loops over the table and says at
//! its end how much it tried. Invariant: an operation of the document that is missing from the table fails, and the other
//! way round.

mod access;
mod audit;
mod coverage;
mod dead_keys;
mod freeze;
mod input;
mod lists;
mod order;
mod repeat;
mod subject;
pub(crate) mod table;
mod who;
pub(crate) mod world;
mod wrong;
