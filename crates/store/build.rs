//! `sqlx::migrate!` reads files at compile time: a new migration has to rebuild this crate.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
