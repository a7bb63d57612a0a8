//! The use cases, one a file: rules and transactions.

mod begin_session;
mod end_other_sessions;
mod end_session;
mod end_sessions;
mod ensure_probe_account;
mod find_users;
mod get_access_state;
mod get_users;
mod list_sessions;
mod log_in;
mod log_out;
mod lookup_limit;
mod make_first_key;
mod refresh;
mod register;
mod rotate_keys;
mod set_active;
mod watch_access_state;

pub(crate) use end_other_sessions::end_other_sessions;
pub(crate) use end_session::end_session;
pub(crate) use end_sessions::end_sessions;
pub(crate) use ensure_probe_account::ensure_probe_account;
pub(crate) use find_users::find_users;
pub(crate) use get_access_state::get_access_state;
pub(crate) use get_users::get_users;
pub(crate) use list_sessions::list_sessions;
pub(crate) use log_in::log_in;
pub(crate) use log_out::log_out;
pub(crate) use make_first_key::make_first_key;
pub(crate) use refresh::refresh;
pub(crate) use register::register;
pub(crate) use rotate_keys::{rotate_keys, rotate_leaked_keys};
pub(crate) use set_active::{activate, deactivate};
pub(crate) use watch_access_state::watch_access_state;
