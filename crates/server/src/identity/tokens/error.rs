//! Why a token was refused: precise for the log, coarse for the caller.
//!
//! The authentication extractor answers by [`TokenError::public`] and logs [`TokenError::reason`]; a client learns no more
//! than "invalid", "expired" or "try again", so that nobody can feel their way towards a token that passes.
//! Invariant: no variant carries any part of the token.

/// Why a token was refused. `Display` is a sentence for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Larger than any token that is read at all.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// Not a signed JWT, or a claim of the wrong type; the text names the part.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// `none`, an HMAC, or any other algorithm off the list (RFC 8725 §3.1).
    #[error("the token's algorithm is none of RS256, ES256 and EdDSA")]
    AlgorithmRefused,
    /// The header names an allowed algorithm, the key is for another one (RFC 8725 §2.1).
    #[error("the token's algorithm is not the one of its key")]
    AlgorithmMismatch,
    /// The header demands an extension (RFC 7515 §4.1.11), and none is known here.
    #[error("the token's header has critical extensions")]
    CriticalHeader,
    /// The issuer publishes no usable key of this `kid`.
    #[error("the issuer has no signing key of the token's key id")]
    UnknownKey,
    /// No `kid`, and not exactly one key that could be meant.
    #[error("the token names no key, and the issuer has not exactly one")]
    AmbiguousKey,
    /// The signature does not fit.
    #[error("the signature is wrong")]
    BadSignature,
    /// `iss` is another issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` is absent or names others.
    #[error("the token is for another audience")]
    WrongAudience,
    /// An ID, refresh or logout token, or one of no stated type.
    #[error("the token is not an access token")]
    WrongType,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is so far ahead that no clock skew explains it.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// The issuer's keys cannot be had, so that nothing can be said about the token.
    #[error("the issuer's keys are not available")]
    Unavailable,
}

/// What the caller of the API may learn about a refused token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicReason {
    /// 401; RFC 6750 §3.1 `invalid_token`.
    Invalid,
    /// 401 as well, but a refresh will help. Only said of tokens whose signature was right.
    Expired,
    /// 503: the fault is ours or the issuer's, the same token may pass later.
    Unavailable,
}

impl TokenError {
    /// What the caller may learn.
    #[must_use]
    pub fn public(&self) -> PublicReason {
        match self {
            Self::Unavailable => PublicReason::Unavailable,
            Self::Expired => PublicReason::Expired,
            Self::TooLong
            | Self::Malformed(_)
            | Self::AlgorithmRefused
            | Self::AlgorithmMismatch
            | Self::CriticalHeader
            | Self::UnknownKey
            | Self::AmbiguousKey
            | Self::BadSignature
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::WrongType
            | Self::NotYetValid
            | Self::IssuedInFuture => PublicReason::Invalid,
        }
    }

    /// A stable word for log fields and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed(_) => "malformed",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::CriticalHeader => "critical_header",
            Self::UnknownKey => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Unavailable => "keys_unavailable",
        }
    }
}
