//! The envelope: what introspection answers to one app about one live session. Protocol §4, RFC 7662 §2.2.

use crate::permission::Rights;

/// Beyond this many bytes of permission names an envelope is refused at assignment time, so that answers stay small.
pub const MAXIMUM_PERMISSION_BYTES: usize = 16 * 1024;

/// Whether rights still fit into an answer.
pub fn fits(rights: &Rights) -> bool {
    rights.permissions.iter().map(|permission| permission.as_str().len() + 3).sum::<usize>() <= MAXIMUM_PERMISSION_BYTES
}
