//! Which kind of installation this is. Read before everything else, since other defaults depend on it.
//!
//! The configuration, the start-up checks and the prefix of API keys use it.
//! Invariant: there are exactly three kinds, and only `dev` is lenient.

use std::fmt;

use domain::KeyEnv;

/// The kind of installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppEnv {
    /// A developer's machine, or a test: everything has a working default.
    Dev,
    /// Rehearsal of production; as strict.
    Stage,
    /// Production.
    Prod,
}

impl AppEnv {
    /// The value of `APP_ENV`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Stage => "stage",
            Self::Prod => "prod",
        }
    }

    /// Where the API keys are good that are made here: the middle part of `trk_<env>_…`.
    #[must_use]
    pub fn key_env(self) -> KeyEnv {
        match self {
            Self::Dev => KeyEnv::Dev,
            Self::Stage => KeyEnv::Stage,
            Self::Prod => KeyEnv::Live,
        }
    }

    /// Whether this is a developer's machine or a test.
    #[must_use]
    pub fn is_dev(self) -> bool {
        self == Self::Dev
    }

    /// The kind that `text` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dev, Self::Stage, Self::Prod].into_iter().find(|env| env.as_str() == text)
    }
}

impl fmt::Display for AppEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
