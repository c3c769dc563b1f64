//! What tests start and ask: the service, an issuer, a client that checks every answer against the document.

pub(crate) mod client;
pub(crate) mod faulty;
pub(crate) mod gate;
pub(crate) mod issuer;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod sql;

pub(crate) use client::{Answer, Client};
pub(crate) use server::{Options, Service, StoreKind};
