//! The locks of the registry, and where its tasks run.
//!
//! Everything in `registry/` takes its primitives from here, because under the crate's own unit tests they are shuttle's,
//! which tries out interleavings; the integration tests in `tests/` see the real ones. Invariant: no await stands between
//! a lock and its release.

use std::time::Duration;

#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// The lock, also after a panic of another holder: nothing that is changed under it is left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs `task` beside its caller, whoever drops what.
///
/// # Panics
/// Outside a tokio runtime, as `tokio::spawn` does.
#[cfg(not(test))]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

#[cfg(test)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    // Detached by dropping the handle, as with tokio.
    drop(shuttle::future::spawn(task));
}

/// The output of `future`, or none if it takes longer.
#[cfg(not(test))]
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// Shuttle has no time.
#[cfg(test)]
pub(crate) async fn within<T>(_limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    Some(future.await)
}

/// A place in look-ups and in what they see where another thread may come between; shuttle does not know the lock-free
/// maps, and would take everything between two locks for one step.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn step() {}

#[cfg(test)]
pub(crate) fn step() {
    shuttle::thread::yield_now();
}
