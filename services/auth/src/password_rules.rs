//! The passwords that nobody may choose, beyond the rules of `Password`.

use std::collections::HashSet;
use std::sync::LazyLock;

use parlance_core::{Password, Username, Violation};

/// Common passwords in lower case, one a line. `data/README.md` says where they come from.
const COMMON_PASSWORDS: &str = include_str!("../data/common-passwords.txt");

/// The rules that a deployment has.
pub(crate) struct PasswordRules {
    refuse_common: bool,
}

impl PasswordRules {
    pub(crate) fn new(refuse_common: bool) -> Self {
        Self { refuse_common }
    }

    /// Checks a new password of a user.
    pub(crate) fn check(&self, password: &Password, folded_name: &str) -> Result<(), Violation> {
        self.check_alone(password)?;
        let folded = Username::parse(password.expose().to_owned()).map(|name| name.folded());
        if self.refuse_common && folded.is_ok_and(|folded| folded == folded_name) {
            return Err(Violation::Other("Password must not be the username"));
        }
        Ok(())
    }

    /// Checks a new password of a user who is not known yet.
    pub(crate) fn check_alone(&self, password: &Password) -> Result<(), Violation> {
        if self.refuse_common && is_common(password) {
            return Err(Violation::Other("Password must not be a common one"));
        }
        Ok(())
    }
}

fn is_common(password: &Password) -> bool {
    static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON_PASSWORDS.lines().collect());
    COMMON.contains(password.expose().to_lowercase().as_str())
}

#[cfg(test)]
#[path = "tests/password_rules.rs"]
mod tests;
