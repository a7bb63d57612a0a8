//! Makes cargo rebuild the crate when a migration is added, which `sqlx::migrate!` alone does not.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
