//! What Parlance is compared with: programs built for speed that do nothing but one piece of its
//! work.

pub mod bcrypt;
pub mod broadcast;
pub mod pgbench;
pub(crate) mod process;
pub mod routes;
