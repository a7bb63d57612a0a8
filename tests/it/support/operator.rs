//! What an operator does beside a running Parlance.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

use parlance_devstack::Stack;
use tokio::process::Command;

/// Runs a command of the auth service, such as `rotate-keys`, against the stack's database; what it
/// printed.
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

/// What `<service> migrate` writes about a database.
pub(crate) async fn migrate(service: &str, database: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program(service));
    command.arg("migrate").args(arguments).env("DATABASE_URL", database).env("LOG_FORMAT", "json");
    let output = command.kill_on_drop(true).output().await.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `health` of a program as it is run beside the process with this admin port.
pub(crate) async fn health(name: &str, admin_listen: SocketAddr) -> Output {
    let mut command = Command::new(program(name));
    command.arg("health").env("ADMIN_LISTEN", admin_listen.to_string());
    command.kill_on_drop(true).output().await.expect("the program starts")
}

/// Runs a command of the auth service with these settings, to whatever end.
pub(crate) async fn try_auth_command(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program("auth"));
    command.args(arguments).envs(settings.iter().copied());
    command.kill_on_drop(true).output().await.expect("the program starts")
}

/// Where the stack finds its programs, too: where cargo put this test, or `PARLANCE_BIN_DIR`.
pub(crate) fn program(name: &str) -> PathBuf {
    if let Some(folder) = env::var_os("PARLANCE_BIN_DIR") {
        return PathBuf::from(folder).join(name);
    }
    let here = env::current_exe().unwrap();
    let mut candidates = here.ancestors().skip(1).map(|folder| folder.join(name));
    candidates.find(|program| program.is_file()).expect("the programs are built")
}
