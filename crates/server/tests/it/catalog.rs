//! The catalog over HTTP, contract §4: products, requests, trials.
//!
//! Invariant: a refused request leaves no trace, which `traces` counts.

mod products;
mod requests;
mod trials;
