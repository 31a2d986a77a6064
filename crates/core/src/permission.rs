//! Rights: what a person may do in one app, from direct, group and role assignments (NIST RBAC, ANSI 359).

use std::collections::BTreeSet;

use crate::app::Access;
use crate::id::{PermissionName, RoleName};

/// What one person may do in one app: sorted, without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The roles held there, directly or by group.
    pub roles: Vec<RoleName>,
    /// The permissions those roles give, and the ones assigned directly or by group.
    pub permissions: Vec<PermissionName>,
}

impl Rights {
    /// Joins roles (each with its permissions) and permissions assigned without a role.
    pub fn join<'a>(
        roles: impl IntoIterator<Item = (&'a RoleName, &'a [PermissionName])>,
        direct: impl IntoIterator<Item = &'a PermissionName>,
    ) -> Self {
        let mut names = BTreeSet::new();
        let mut permissions: BTreeSet<&PermissionName> = direct.into_iter().collect();
        for (role, gives) in roles {
            names.insert(role);
            permissions.extend(gives);
        }
        Self { roles: names.into_iter().cloned().collect(), permissions: permissions.into_iter().cloned().collect() }
    }

    /// Whether somebody with these rights may enter an app at all. Evaluated for every envelope, not only at sign-in (advisory T35).
    pub fn admit(&self, access: Access) -> bool {
        match access {
            Access::Everyone => true,
            Access::Assigned => !self.roles.is_empty() || !self.permissions.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<PermissionName> {
        texts.iter().map(|text| text.parse().expect("valid")).collect()
    }

    #[test]
    fn rights_are_sorted_and_said_once() {
        let cashier: RoleName = "cashier".parse().expect("valid");
        let boss: RoleName = "boss".parse().expect("valid");
        let (orders, refunds) = (names(&["canCreateOrder"]), names(&["canRefund", "canCreateOrder"]));
        let direct = names(&["canSeeReports", "canRefund"]);
        let rights = Rights::join([(&cashier, &orders[..]), (&boss, &refunds[..]), (&cashier, &orders[..])], &direct);
        assert_eq!(rights.roles, [boss, cashier]);
        assert_eq!(rights.permissions, names(&["canCreateOrder", "canRefund", "canSeeReports"]));
    }

    #[test]
    fn nobody_enters_an_assigned_app_without_an_assignment() {
        let none = Rights::default();
        assert!(!none.admit(Access::Assigned));
        assert!(none.admit(Access::Everyone));
        assert!(Rights { permissions: names(&["x"]), ..Rights::default() }.admit(Access::Assigned));
    }
}
