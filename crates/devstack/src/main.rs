//! The command-line tool `devstack`.
fn main() {}
