//! Support for tests and benchmarks, behind the feature `testing`: never part of a production build.
//!
//! A test of this crate takes a fresh [`Backend`], values from [`fixtures`], and for what every backend must do the
//! contract suite, [`suite`]. Tests of `server` use the same backends. Invariant: no two tests share a database.

mod backends;
pub mod fixtures;
pub mod postgres;
pub mod suite;
pub mod watchdog;

pub use backends::{Backend, Postgres, SqliteFile, SqliteMemory, note_skipped};
