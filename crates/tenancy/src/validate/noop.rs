//! The validator that checks nothing, for development.
//!
//! An embedder that wants every tenant to be valid at once says so here, and is refused where that looks like a
//! mistake. Invariant: outside development a [`Noop`] exists only if somebody wrote [`Noop::ACKNOWLEDGEMENT`], word for
//! word, into the environment or into the code.

use async_trait::async_trait;

use super::{ValidationTarget, Validator, Verdict};

/// Names the deployment, as it does for our own service.
const APP_ENV: &str = "APP_ENV";

const ACK: &str = "TENANCY_NOOP_ACK";

const DEVELOPMENT: &[&str] = &["dev", "development", "test"];

/// The validator that finds every tenant valid.
///
/// It is given if `APP_ENV` is `dev`, `development` or `test`, or if `TENANCY_NOOP_ACK` is
/// [`Noop::ACKNOWLEDGEMENT`]. An environment that says neither is taken for production.
///
/// # Errors
///
/// [`NoopRefused`], whose message names what to set.
///
/// ```no_run
/// let registry = tenancy::noop()?;
/// # let _ = registry;
/// # Ok::<(), tenancy::NoopRefused>(())
/// ```
pub fn noop() -> Result<Noop, NoopRefused> {
    // A variable that is not Unicode is not any of the texts that count.
    noop_in(|name| std::env::var(name).ok())
}

/// The validator that finds every tenant valid, for code that takes the responsibility itself.
///
/// # Errors
///
/// [`NoopRefused`], unless `sentence` is [`Noop::ACKNOWLEDGEMENT`], word for word.
///
/// ```
/// assert!(tenancy::noop_acknowledged("yes").is_err());
/// let noop = tenancy::noop_acknowledged("I accept that tenants are served without validation")?;
/// # let _ = noop;
/// # Ok::<(), tenancy::NoopRefused>(())
/// ```
pub fn noop_acknowledged(sentence: &str) -> Result<Noop, NoopRefused> {
    noop_in(|name| (name == ACK).then(|| sentence.to_owned()))
}

fn noop_in(variable: impl Fn(&str) -> Option<String>) -> Result<Noop, NoopRefused> {
    if variable(APP_ENV).is_some_and(|env| DEVELOPMENT.iter().any(|name| env.eq_ignore_ascii_case(name))) {
        return Ok(Noop { _made_here: () });
    }
    if variable(ACK).is_some_and(|ack| ack == Noop::ACKNOWLEDGEMENT) {
        tracing::warn!("tenants are served without validation, as was acknowledged");
        return Ok(Noop { _made_here: () });
    }
    Err(NoopRefused)
}

/// What [`noop`] gives: it finds every tenant valid.
#[derive(Clone, Copy, Debug)]
pub struct Noop {
    _made_here: (),
}

impl Noop {
    /// What somebody has to have written before tenants go unvalidated outside development.
    ///
    /// ```
    /// assert!(tenancy::noop_acknowledged(tenancy::Noop::ACKNOWLEDGEMENT).is_ok());
    /// ```
    pub const ACKNOWLEDGEMENT: &str = "I accept that tenants are served without validation";
}

#[async_trait]
impl Validator for Noop {
    async fn validate(&self, _target: &ValidationTarget) -> Verdict {
        Verdict::Valid
    }
}

/// This is not development, and nobody has acknowledged that tenants go unvalidated.
///
/// ```
/// let error = tenancy::noop_acknowledged("").unwrap_err();
/// assert!(error.to_string().contains("APP_ENV") && error.to_string().contains("TENANCY_NOOP_ACK"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the validator `noop` checks nothing, and is refused outside development: set {APP_ENV} to `dev`, `development` or \
     `test`, or {ACK} to exactly `{}`",
    Noop::ACKNOWLEDGEMENT
)]
#[non_exhaustive]
pub struct NoopRefused;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(app_env: Option<&str>, ack: Option<&str>, given: bool) {
        let variable = |name: &str| match name {
            APP_ENV => app_env.map(str::to_owned),
            ACK => ack.map(str::to_owned),
            other => panic!("{other} is nothing that counts"),
        };
        assert_eq!(noop_in(variable).is_ok(), given);
    }

    #[test]
    fn noop_is_given_in_development_alone() {
        check(None, None, false);
        for env in ["dev", "development", "test", "Development", "TEST"] {
            check(Some(env), None, true);
        }
        for env in ["", "prod", "production", "stage", "staging", "dev2", " dev", "developer"] {
            check(Some(env), None, false);
        }
    }

    #[test]
    fn noop_is_given_elsewhere_to_who_says_the_whole_sentence() {
        let sentence = "I accept that tenants are served without validation";
        check(Some("prod"), Some(sentence), true);
        check(None, Some(sentence), true);
        for almost in ["", "1", "true", "yes", &sentence.to_lowercase(), &format!("{sentence}."), &sentence[1..]] {
            check(Some("prod"), Some(almost), false);
            check(None, Some(almost), false);
        }
    }

    #[test]
    fn the_refusal_says_what_to_set() {
        assert_eq!(
            NoopRefused.to_string(),
            "the validator `noop` checks nothing, and is refused outside development: set APP_ENV to `dev`, \
             `development` or `test`, or TENANCY_NOOP_ACK to exactly `I accept that tenants are served without \
             validation`"
        );
    }
}
