//! Whether somebody is who they say: password and one-time code against what
//! the registry has.

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use totp_rs::{Builder, Secret};

use crate::registry::User;

/// Bytes of a password, at most: what is hashed is bounded.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Memory that a password's hash may ask for, KiB: 256 MiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes that it may ask for.
const PASSES_MAX: u32 = 32;
/// Lanes that it may ask for.
const LANES_MAX: u32 = 16;
/// What is computed for users that there are not, so that they take as long:
/// the hash of nothing that anybody types.
const NOBODY: &str = "$argon2id$v=19$m=8192,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The step of the one-time code (none: this user has none) if password and
/// code are right; nothing if not. A wrong password and a wrong code take
/// the same time.
pub(super) fn check(
    user: Option<&User>,
    password: &str,
    code: &str,
    now_ms: i64,
) -> Option<Option<u64>> {
    let hash = user.map_or(NOBODY, |user| user.password_hash.as_str());
    let password_right = is_right(hash, password);
    let user = user?;
    let step = match user.totp_secret.as_deref() {
        None | Some("") => Some(None),
        Some(secret) => step(secret, code.trim(), now_ms).map(Some),
    };
    step.filter(|_| password_right)
}

fn is_right(hash: &str, password: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    let params = argon2::Params::try_from(&hash);
    let bounded = params.is_ok_and(|params| {
        params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX
    });
    bounded
        && hash.algorithm.as_str() == "argon2id"
        && password.len() <= PASSWORD_BYTES_MAX
        && Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
}

/// The step of which the code is; one before and one after now are taken.
fn step(secret: &str, code: &str, now_ms: i64) -> Option<u64> {
    let secret = secret
        .trim()
        .trim_end_matches('=')
        .replace(' ', "")
        .to_uppercase();
    let secret = Secret::try_from_base32(secret).ok()?;
    // Registries have secrets that are shorter than RFC 4226 asks for.
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let seconds = u64::try_from(now_ms / 1000).ok()?;
    totp.check(code, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_rfc_6238() {
        // "12345678901234567890" in base32; the last six digits of its table.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (2_000_000_000, "279037"),
        ] {
            let found = step(secret, code, seconds * 1000);
            assert!(found.is_some(), "{seconds}");
            assert!(
                step(secret, code, (seconds + 90) * 1000).is_none(),
                "{seconds} is over"
            );
        }
        assert!(step(secret, "000000", 59_000).is_none());
        assert!(step("not base32!", "287082", 59_000).is_none());
    }

    #[test]
    fn hashes_are_bounded_and_of_one_kind() {
        let right = "hikae-ishi".to_string();
        for hash in [
            "",
            "plain",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2i$v=19$m=8192,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            NOBODY,
        ] {
            assert!(!is_right(hash, &right), "{hash}");
        }
        assert!(!is_right(NOBODY, ""));
    }
}
