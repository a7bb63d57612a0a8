//! The migrations are compiled in, and the compiler does not notice a new one.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
