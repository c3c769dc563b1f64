//! Tenants in a database and too many to register: hosts are looked up when a request names them, and remembered.
//!
//! `cargo run -p tenancy --example host_router`. A SQLite database in memory stands for yours.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;
use tenancy::{HostRouter, LazyPlatforms, TenantId};

/// What serves a tenant; to build one takes a moment and a connection.
struct Shop {
    greeting: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    sqlx::query("CREATE TABLE hosts (host TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL)")
        .execute(&database)
        .await?;
    sqlx::query("INSERT INTO hosts VALUES ('acme.example.com', 'acme', 'Acme'), ('shop.acme.example', 'acme', 'Acme')")
        .execute(&database)
        .await?;

    // Who a host belongs to: one query per host and minute, whatever the traffic; unknown hosts have limits of their own.
    let pool = database.clone();
    let router = HostRouter::builder(move |host: Arc<str>| {
        let pool = pool.clone();
        async move {
            println!("  asking the database about {host}");
            let row: Option<(String,)> =
                sqlx::query_as("SELECT tenant FROM hosts WHERE host = ?").bind(&*host).fetch_optional(&pool).await?;
            Ok::<_, sqlx::Error>(row.map(|(tenant,)| TenantId::from(tenant)))
        }
    })
    .capacity(100_000)
    .time_to_live(Duration::from_secs(60))
    .unknown_time_to_live(Duration::from_secs(5))
    .build();

    // What serves it: built on first use, and let go when it was not used for a while.
    let pool = database.clone();
    let shops = LazyPlatforms::builder(move |tenant: TenantId| {
        let pool = pool.clone();
        async move {
            println!("  building the shop of {tenant}");
            let (name,): (String,) = sqlx::query_as("SELECT name FROM hosts WHERE tenant = ? LIMIT 1")
                .bind(&*tenant)
                .fetch_one(&pool)
                .await?;
            Ok::<_, sqlx::Error>(Shop { greeting: format!("Welcome to {name}") })
        }
    })
    .time_to_idle(Duration::from_secs(600))
    .build();

    for host in
        ["acme.example.com", "ACME.example.com:443", "shop.acme.example", "nobody.example.com", "nobody.example.com"]
    {
        println!("{host}");
        match router.resolve(host).await? {
            Some(tenant) => println!("  {}", shops.get_or_build(tenant).await?.greeting),
            None => println!("  404"),
        }
    }

    // The tenant gives a domain up: who changes the database says so, and the next request finds it out.
    sqlx::query("DELETE FROM hosts WHERE host = 'shop.acme.example'").execute(&database).await?;
    router.invalidate("shop.acme.example");
    println!("shop.acme.example, given up");
    println!("  {}", router.resolve("shop.acme.example").await?.map_or("404".to_owned(), |tenant| tenant.to_string()));
    Ok(())
}
