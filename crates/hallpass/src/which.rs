//! Naming people and groups on the command line.

use clap::Args;
use hallpass_core::id::GroupName;
use hallpass_core::user::User;
use hallpass_server::admin::roles::Grantee;
use hallpass_server::admin::{AdminError, groups, users};
use hallpass_store::Read;

/// One user: `hallpass user show ana` or `hallpass user show --user ana`.
#[derive(Args)]
pub struct Which {
    /// User name or user id
    #[arg(value_name = "USER", required_unless_present = "user", conflicts_with = "user")]
    who: Option<String>,
    /// The same, as an option
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl Which {
    /// Looks the user up.
    pub async fn find(&self, read: &mut Read) -> Result<User, AdminError> {
        let text = self.who.as_deref().or(self.user.as_deref()).unwrap_or_default();
        users::find(read, text).await
    }
}

/// Who is given something, or has it taken away: a user or a group.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct WhichHolder {
    /// User name or user id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Every member of this group
    #[arg(long)]
    group: Option<GroupName>,
}

impl WhichHolder {
    /// Looks them up.
    pub async fn find(&self, read: &mut Read) -> Result<Grantee, AdminError> {
        match &self.group {
            Some(group) => groups::find(read, group).await.map(Grantee::Group),
            None => users::find(read, self.user.as_deref().unwrap_or_default()).await.map(Grantee::User),
        }
    }
}
