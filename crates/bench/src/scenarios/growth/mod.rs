//! *Growth*: the same calls before and after the tables have grown a thousandfold.

mod fill;
mod measure;
mod run;

pub(super) use self::run::run;
