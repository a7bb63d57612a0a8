//! Commands that an operator runs next to a running Parlance.

use std::net::SocketAddr;
use std::process::Output;

use parlance_devstack::{Stack, program};
use tokio::process::Command;

/// Runs a command of the auth service, for example `rotate-keys`, on the stack's database. Returns
/// its output.
pub(crate) async fn auth_command(
    stack: &Stack,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> String {
    let url = stack.database_url();
    let settings: Vec<_> =
        [("DATABASE_URL", url.as_str())].iter().chain(settings).copied().collect();
    let output = try_auth_command(arguments, &settings).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `<service> migrate` on a database. Returns its output.
pub(crate) async fn migrate(service: &str, database: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program(service).unwrap());
    command.arg("migrate").args(arguments).env("DATABASE_URL", database).env("LOG_FORMAT", "json");
    let output = command.kill_on_drop(true).output().await.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `<program> health` for the process with this admin address.
pub(crate) async fn health(name: &str, admin_listen: SocketAddr) -> Output {
    let mut command = Command::new(program(name).unwrap());
    command.arg("health").env("ADMIN_LISTEN", admin_listen.to_string());
    command.kill_on_drop(true).output().await.expect("the program starts")
}

/// Runs a command of the auth service with these settings. Returns its output and its status.
pub(crate) async fn try_auth_command(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program("auth").unwrap());
    command.args(arguments).envs(settings.iter().copied());
    command.kill_on_drop(true).output().await.expect("the program starts")
}
