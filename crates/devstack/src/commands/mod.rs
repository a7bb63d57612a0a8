//! What the command-line tool `devstack` can do.

pub mod prepare;
pub mod reset;
pub mod settings;
pub mod up;
