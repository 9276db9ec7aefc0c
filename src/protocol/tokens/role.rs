//! What a token is for.

use std::fmt;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// To serve ports.
    Driver,
    /// To see figures.
    Viewer,
    /// To see what passes and to close it, besides what a viewer may.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Driver, Role::Viewer, Role::Operator];

    /// As files and answers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Driver => "driver",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Role::Driver => 1,
            Role::Viewer => 2,
            Role::Operator => 4,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// None.
    pub const NONE: Self = Self(0);

    /// All.
    pub const ALL: Self = Self::NONE.with(Role::Driver).with(Role::Operator);

    /// These and one more. An operator is a viewer too.
    pub const fn with(self, role: Role) -> Self {
        let all = Self(self.0 | role.bit());
        match role {
            Role::Operator => Self(all.0 | Role::Viewer.bit()),
            Role::Driver | Role::Viewer => all,
        }
    }

    /// Whether this is one of them.
    pub const fn include(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.include(*role))
    }
}

/// With commas between.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_name() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
            assert!(Roles::ALL.include(role) && !Roles::NONE.include(role));
        }
        assert_eq!(Role::parse("Driver"), None);
        assert_eq!(Role::parse(""), None);
    }

    #[test]
    fn an_operator_is_a_viewer_and_no_driver() {
        let roles = Roles::NONE.with(Role::Operator);
        assert_eq!(roles.to_string(), "viewer, operator");
        assert!(!roles.include(Role::Driver));
        assert_eq!(roles.with(Role::Driver), Roles::ALL);
    }

    #[test]
    fn a_role_that_is_there_already_changes_nothing() {
        for role in Role::ALL {
            assert_eq!(Roles::ALL.with(role), Roles::ALL);
        }
        let viewer = Roles::NONE.with(Role::Viewer);
        assert_eq!(viewer.with(Role::Operator), Roles::NONE.with(Role::Operator));
    }
}
