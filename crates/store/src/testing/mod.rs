//! Support for tests and benchmarks, behind the feature `testing`: never part of a production build.

pub mod postgres;
