//! Starting with a hundred thousand tenants in the database: how soon ready, how much memory, how fast the first reads.
//!
//! Time runs from just before the process is started until `/readyz` says 200, asked every millisecond. Invariant: the
//! limits hold for every start, not for the median: the slowest is compared.

use std::time::{Duration, Instant};

use store::testing::postgres::Cluster;

use crate::Outcome;
use crate::load::{Answered, Load};
use crate::process::{Cores, DEV_TOKEN, Folder, Server, get};
use crate::report::{Report, median, range};
use crate::seed::{self, TENANTS, slug};
use crate::side::words;

const STARTS: usize = 11;
const READY_LIMIT_MILLIS: f64 = 1_000.0;
const IDLE: Duration = Duration::from_secs(2);
const MEMORY_LIMIT_MEGABYTES: f64 = 60.0;
const READ_FIRST: u64 = 1_000;
const CONNECTIONS: usize = 8;

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = Folder::new()?;
    let file = folder.path().join("registry.sqlite");
    runtime.block_on(seed::fill_sqlite(&file))?;
    on(report, "SQLite file", &format!("sqlite:{}", file.display()))?;

    let cluster = Cluster::start();
    let url = cluster.create_database();
    runtime.block_on(seed::fill_postgres(&url))?;
    on(report, "PostgreSQL", &url)?;
    cold_reads(report, &url)
}

fn on(report: &mut Report, store: &str, database: &str) -> Outcome {
    let folder = Folder::new()?;
    let (mut millis, mut idle, mut after_reads) = (Vec::new(), Vec::new(), Vec::new());
    for start in 0..STARTS {
        let began = Instant::now();
        let mut registry = Server::registry(&folder, Cores::All, &[("DATABASE_URL", database)])?;
        millis.push(registry.ready(began)?.as_secs_f64() * 1e3);
        // Memory hardly differs from start to start, and each look at it takes seconds.
        if start % 4 == 0 {
            std::thread::sleep(IDLE);
            idle.push(registry.resident_megabytes()?);
            let read = read_first_time(&registry, &folder, 1, READ_FIRST + 1, Duration::from_secs(60))?;
            if read.requests != READ_FIRST {
                return Err(format!("{} tenants were read", read.requests).into());
            }
            after_reads.push(registry.resident_megabytes()?);
        }
    }
    let (_, slowest) = range(&millis);
    report.judge(
        format!("{store}, {TENANTS} tenants: start to ready"),
        format!("median {:.0} ms, slowest {slowest:.0} ms of {STARTS}", median(millis)),
        "at most 1000 ms",
        slowest <= READY_LIMIT_MILLIS,
    );
    let (_, most) = range(&idle);
    report.judge(
        format!("{store}, {TENANTS} tenants: resident memory, idle for 2 s"),
        format!("median {:.1} MB, most {most:.1} MB of {}", median(idle.iter().copied()), idle.len()),
        "under 60 MB",
        most < MEMORY_LIMIT_MEGABYTES,
    );
    report.show(
        format!("{store}, {TENANTS} tenants: resident memory after reading {READ_FIRST}"),
        format!("median {:.1} MB", median(after_reads)),
    );
    Ok(())
}

fn cold_reads(report: &mut Report, url: &str) -> Outcome {
    let folder = Folder::new()?;
    let began = Instant::now();
    let mut registry = Server::registry(&folder, Cores::All, &[("DATABASE_URL", url)])?;
    registry.ready(began)?;
    let (mut rounds, mut next) = (Vec::new(), 1);
    for _ in 0..STARTS {
        let read = read_first_time(&registry, &folder, next, TENANTS + 1, Duration::from_millis(700))?;
        next += read.requests;
        rounds.push(read);
    }
    report.show(
        format!("by-slug on PostgreSQL, each tenant for the first time ({CONNECTIONS} connections)"),
        words(&rounds),
    );
    Ok(())
}

fn read_first_time(registry: &Server, folder: &Folder, first: u64, end: u64, length: Duration) -> Outcome<Answered> {
    let load = Load {
        request: &get(&format!("/v1/tenants/by-slug/{}", slug()), DEV_TOKEN),
        deck: None,
        begins: "",
        status: 200,
        address: registry.address,
        connections: CONNECTIONS,
        length,
        numbers: first..end,
        cores: Cores::All,
    };
    load.run(folder)
}
