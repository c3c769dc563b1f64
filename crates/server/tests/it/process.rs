//! The real binary as a process: what only shows when a program is started, killed, refused or put into an image.
//!
//! Everything here starts `tenant-registry` with an environment of its own and asks it over HTTP, its two output streams
//! and its exit code. Invariant: no process started here outlives the test process (`support::process`).

mod command_line;
mod dev_full;
mod graceful_stop;
mod image;
mod keys;
mod kill;
mod logs;
mod postgres_login;
mod refusals;
mod schema;
mod secrets;
