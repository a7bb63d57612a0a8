//! The command line of a program.

use super::*;

#[test]
fn a_program_runs_on_as_many_threads_as_worker_threads_says() {
    let workers = || async { Ok(tokio::runtime::Handle::current().metrics().num_workers()) };
    assert_eq!(block_on(Some(3), workers()).unwrap(), 3);
    let cores = available_parallelism().unwrap().get();
    assert_eq!(block_on(None, workers()).unwrap(), cores);
}

#[test]
fn the_help_text_is_the_one_of_the_program() {
    let service = Service { name: "test", about: "Tests", migrations: None };
    let cli = service.cli::<HealthConfig, NoCommand>();
    assert_eq!(cli.get_about().map(ToString::to_string).as_deref(), Some("Tests"));
    assert!(cli.get_long_about().is_none() && cli.find_subcommand("migrate").is_none());
}
