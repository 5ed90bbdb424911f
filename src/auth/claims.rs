//! What a token says, and whether that may be. Depends on auth.

use serde::Deserialize;

use crate::{auth::refusal, model::problem::Problem};

/// The claims of a token, as far as they matter here.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) aud: Option<Audience>,
    pub(super) exp: Option<i64>,
    pub(super) nbf: Option<i64>,
    pub(super) iat: Option<i64>,
    pub(super) jti: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) cnf: Option<Confirmation>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
pub(super) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    pub(super) thumbprint: Option<String>,
}

impl Claims {
    /// Checks everything but the signature.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn check(&self, audience: &str, party: &str, now: i64) -> Result<(), Problem> {
        let text = |claim: &Option<String>| {
            claim.as_deref().is_some_and(|text| (1..=128).contains(&text.len()))
        };
        let for_us = match &self.aud {
            Some(Audience::One(one)) => one == audience,
            Some(Audience::Many(many)) => many.iter().any(|one| one == audience),
            None => false,
        };
        let exp = self.exp.unwrap_or(i64::MIN);
        let checks = [
            (
                self.iss.as_deref() == Some(party),
                "the token's `iss` is not the code of the party the certificate belongs to",
            ),
            (text(&self.sub), "the token's `sub` must name the calling system, 1 to 128 bytes"),
            (for_us, "the token's `aud` is not the id of this gateway"),
            (self.exp.is_some(), "the token has no `exp`; let it expire within 1 hour"),
            (exp > now, "the token has expired (`exp`); make a new one"),
            (
                exp <= now + LONGEST_SECONDS + SKEW_SECONDS,
                "the token's `exp` is more than 1 hour ahead; make shorter ones",
            ),
            (
                self.nbf.is_none_or(|nbf| nbf <= now + SKEW_SECONDS),
                "the token is not valid yet (`nbf`); check the clock",
            ),
            (
                self.iat.is_none_or(|iat| iat <= now + SKEW_SECONDS && iat <= exp),
                "the token's `iat` lies in the future; check the clock",
            ),
            (text(&self.jti), "the token needs an id of its own (`jti`), 1 to 128 bytes"),
            (
                self.cnf.as_ref().is_some_and(|cnf| text(&cnf.thumbprint)),
                "the token is bound to no certificate; set `cnf.x5t#S256` (RFC 8705)",
            ),
        ];
        checks.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, why)| Err(refusal(why)))
    }
}

/// Longest life of a token (design §5).
const LONGEST_SECONDS: i64 = 3600;
/// Clock difference that parties are allowed.
const SKEW_SECONDS: i64 = 60;
