//! From a tenant's URLs to those that are asked, and from their verdicts to one.
//!
//! Both validators begin and end here. Invariant: every URL of the tenant is asked, or the verdict says which was not.

use futures_util::StreamExt;
use futures_util::stream;
use url::Url;

use super::fetch::Failure;
use crate::validate::all_of::weigh;
use crate::validate::{ValidationTarget, Verdict};

/// A tenant with many aliases is no reason to open as many connections at once.
const AT_ONCE: usize = 8;

/// The URLs to ask, each once: `address_of` changes a tenant's URL into the one to fetch for it.
pub(super) fn urls_to_ask(
    target: &ValidationTarget,
    skip_wildcards: bool,
    address_of: impl Fn(&mut Url),
) -> Result<Vec<Url>, Failure> {
    let mut asked = Vec::with_capacity(target.urls.len());
    for text in &*target.urls {
        let mut url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Failure::Lasting(format!("{text} is no URL that can be asked")))?;
        if url.host_str().is_some_and(|host| host.starts_with("*.")) {
            if skip_wildcards {
                continue;
            }
            return Err(Failure::Lasting(format!("{text} stands for many hosts, and it is not known which to ask")));
        }
        address_of(&mut url);
        if !asked.contains(&url) {
            asked.push(url);
        }
    }
    if asked.is_empty() {
        return Err(Failure::Lasting("the tenant has no URL that can be asked".to_owned()));
    }
    Ok(asked)
}

/// Asks all of `urls`, some at once, until one fails for a lasting reason.
pub(super) async fn ask_all<'a, F>(urls: &'a [Url], ask: impl Fn(&'a Url) -> F) -> Verdict
where
    F: Future<Output = Result<(), Failure>> + Send,
{
    // Collected, as a stream of a closure with borrowed arguments is not `Send` to the compiler.
    let asked: Vec<_> = urls.iter().map(ask).enumerate().collect();
    let answers = stream::iter(asked)
        .map(|(place, asked)| async move { (place, asked.await.map_or_else(Verdict::from, |()| Verdict::Valid)) })
        .buffer_unordered(AT_ONCE);
    weigh(answers).await
}
