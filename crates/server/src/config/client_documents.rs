//! `[client_metadata_documents]`: clients may describe themselves at the address that is their `client_id`
//! (draft-ietf-oauth-client-id-metadata-document). Off unless it says `enabled = true`.

use hallpass_core::app::Origin;
use serde::Deserialize;

use super::Network;

/// Whether, and which.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientDocumentsConfig {
    /// Whether there are such clients at all.
    pub enabled: bool,
    /// The hosts that documents may be at, each by its exact name: `claude.ai`. Absent, any public one.
    pub hosts: Option<Vec<String>>,
    /// How many of them there may be at once. One is there when somebody has allowed it.
    pub maximum: u32,
    /// Networks that documents may lie in although they are internal.
    pub allow_internal: Vec<Network>,
}

impl Default for ClientDocumentsConfig {
    fn default() -> Self {
        Self { enabled: false, hosts: None, maximum: 1000, allow_internal: Vec::new() }
    }
}

impl ClientDocumentsConfig {
    /// Whether its names are names.
    pub(super) fn check(&self) -> Result<(), String> {
        // No wildcards, which would match nothing: hosts are compared.
        let is_host = |host: &String| {
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
            plain && format!("https://{host}").parse::<Origin>().is_ok_and(|origin| origin.host() == host)
        };
        match self.hosts.iter().flatten().find(|host| !is_host(host)) {
            Some(host) => Err(format!(
                "hosts: {host:?} must be the name of a host, in lower case, without scheme, port and wildcard"
            )),
            None => Ok(()),
        }
    }
}
