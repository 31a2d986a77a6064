//! `[registration]`: clients may register themselves (RFC 7591). Off unless the section is there.

use hallpass_core::app::Access;
use serde::Deserialize;

use super::SecretSource;

/// Who may register, and what becomes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    /// Where the token comes from without which nobody registers. There is no registration without one.
    pub initial_access_token: SecretSource,
    /// Who may enter what has registered itself: `assigned`, whom an administrator lets in, or `everyone`.
    #[serde(default)]
    pub access: Access,
    /// How many such clients there may be at once.
    #[serde(default = "maximum")]
    pub maximum: u32,
}

fn maximum() -> u32 {
    100
}
