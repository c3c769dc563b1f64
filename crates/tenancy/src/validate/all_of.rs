//! Several validators as one: what an embedder gives the registry when one check is not enough.
//!
//! The validators that ask several hosts weigh their answers by the same rule, through [`weigh`]. Invariant: a lasting
//! failure is never hidden by a validator that passes, that hangs or that panics.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::{FutureExt, StreamExt};

use super::{ValidationTarget, Validator, Verdict};

/// A validator that asks all of `validators`, at once.
///
/// [`Verdict::Permanent`] wins over [`Verdict::Transient`], and that over [`Verdict::Valid`]; the reason is that of the
/// first in the order of the list. A permanent verdict ends the validation: the others are not waited for, so that none
/// of them can hide it by hanging. One that panics counts as transient, for the same reason.
///
/// An empty list checks nothing, and is answered [`Verdict::Permanent`]: who wants that says [`noop`](crate::noop()).
///
/// Validators of several types are added with [`AllOf::and`].
///
/// ```
/// use tenancy::{ValidationTarget, Validator, Verdict, all_of, validator_fn};
///
/// let paid = validator_fn(|target: ValidationTarget| async move {
///     if target.metadata.contains_key("paid") { Verdict::Valid } else { Verdict::Permanent("not paid".into()) }
/// });
/// let reachable = validator_fn(|_| async { Verdict::Transient("no answer".into()) });
/// let validator = all_of([paid]).and(reachable);
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let target = ValidationTarget::new("acme", ["https://acme.example.com"]);
/// assert_eq!(validator.validate(&target).await, Verdict::Permanent("not paid".into()));
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn all_of<V>(validators: impl IntoIterator<Item = V>) -> AllOf
where
    V: Validator + 'static,
{
    AllOf { validators: validators.into_iter().map(|validator| Arc::new(validator) as Arc<dyn Validator>).collect() }
}

/// What [`all_of`] gives. Cloning it copies pointers.
#[derive(Clone)]
pub struct AllOf {
    validators: Vec<Arc<dyn Validator>>,
}

impl AllOf {
    /// The same with one more validator, at the end of the list.
    ///
    /// ```
    /// # use tenancy::{Verdict, all_of, validator_fn};
    /// let validator = all_of([validator_fn(|_| async { Verdict::Valid })])
    ///     .and(validator_fn(|_| async { Verdict::Permanent("frozen".into()) }));
    /// # let _ = validator;
    /// ```
    #[must_use]
    pub fn and(mut self, validator: impl Validator + 'static) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }
}

impl fmt::Debug for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllOf").field("validators", &self.validators.len()).finish()
    }
}

#[async_trait]
impl Validator for AllOf {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        if self.validators.is_empty() {
            return Verdict::Permanent("there is no validator in `all_of`, so that nothing was checked".into());
        }
        let asked = self.validators.iter().enumerate().map(|(place, validator)| async move {
            // Without state that outlives the panic: each validation is a future of its own.
            let answer = AssertUnwindSafe(async { validator.validate(target).await }).catch_unwind().await;
            (place, answer.unwrap_or_else(|_| Verdict::Transient("a validator panicked".into())))
        });
        weigh(asked.collect::<FuturesUnordered<_>>()).await
    }
}

/// The verdict of all `verdicts`, each with its place in the list: [`all_of`] has the rule.
pub(super) async fn weigh(verdicts: impl Stream<Item = (usize, Verdict)> + Send) -> Verdict {
    // Those that are there at once are one chunk, so that the order of the list decides between them.
    let mut chunks = std::pin::pin!(verdicts.ready_chunks(usize::from(u8::MAX)));
    let mut passing: Option<(usize, Verdict)> = None;
    while let Some(mut chunk) = chunks.next().await {
        chunk.sort_unstable_by_key(|(place, _)| *place);
        for (place, verdict) in chunk {
            match verdict {
                Verdict::Valid => {}
                Verdict::Permanent(_) => return verdict,
                Verdict::Transient(_) if passing.as_ref().is_some_and(|(first, _)| *first < place) => {}
                Verdict::Transient(_) => passing = Some((place, verdict)),
            }
        }
    }
    passing.map_or(Verdict::Valid, |(_, verdict)| verdict)
}
