//! What Parlance is compared with: the same work without everything that makes it Parlance, and
//! built for speed.

pub(crate) mod bcrypt;
pub(crate) mod broadcast;
pub(crate) mod child;
pub(crate) mod pgbench;
pub(crate) mod routes;
