//! `tenant-registry healthcheck`: asks `/healthz` of `ADDR`, for containers without a shell.

use std::time::Duration;

use super::{Outcome, block_on};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Outcome {
    let url = format!("{}/healthz", config.addr.local_url());
    block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build();
        let client = client.map_err(|error| error.to_string())?;
        let answer = client.get(&url).send().await.map_err(|error| format!("{url} does not answer: {error}"))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("{url} answers {status}")) }
    })?
}
