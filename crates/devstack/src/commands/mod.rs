//! The commands of the tool `devstack`.

pub mod prepare;
pub mod reset;
pub mod up;
