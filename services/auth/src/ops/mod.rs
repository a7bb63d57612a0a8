//! The use cases, one a file: rules and transactions.

mod ensure_probe_account;
mod find_users;
mod get_access_state;
mod get_users;
mod log_in;
mod lookup_limit;
mod make_first_key;
mod register;
mod rotate_keys;
mod set_active;
mod verify_password;

pub(crate) use ensure_probe_account::ensure_probe_account;
pub(crate) use find_users::find_users;
pub(crate) use get_access_state::get_access_state;
pub(crate) use get_users::get_users;
pub(crate) use log_in::log_in;
pub(crate) use make_first_key::make_first_key;
pub(crate) use register::register;
pub(crate) use rotate_keys::rotate_keys;
pub(crate) use set_active::set_active;
