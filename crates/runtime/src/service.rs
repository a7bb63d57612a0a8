//! The scaffold of every program: its command line, and the boot sequence of `serve`.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Context;
use clap::{Args, Command, FromArgMatches, Subcommand};
use sqlx::migrate::Migrator;
use tokio::runtime::Builder;

use crate::config::{HealthConfig, LogConfig, PostgresConfig, ProcessConfig};
use crate::{Lifecycle, admin, health, postgres, settings, telemetry, trace};

/// A program of Parlance: a service, or the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The name of the program, in logs, metrics and traces, and to Postgres.
    pub name: &'static str,
    /// What the program does, for its help text.
    pub about: &'static str,
    /// The migrations of the schema that the program owns, if it owns one.
    pub migrations: Option<&'static Migrator>,
}

/// The commands of every program.
#[derive(Subcommand)]
enum CommonCommand<C: Args> {
    /// Serves until SIGTERM.
    Serve(Box<Serve<C>>),
    /// Checks whether the process on this host is ready.
    Health(HealthConfig),
    /// Lists all settings, each as a JSON object on a line.
    Settings,
}

#[derive(Args)]
struct Serve<C: Args> {
    #[command(flatten)]
    process: ProcessConfig,
    #[command(flatten)]
    config: C,
}

/// The commands of a program that owns a schema.
#[derive(Subcommand)]
enum SchemaCommand {
    /// Brings the database schema up to date.
    Migrate {
        #[command(flatten)]
        postgres: PostgresConfig,
        /// Only lists the migrations, and whether each is applied.
        #[arg(long)]
        status: bool,
        #[command(flatten)]
        log: LogConfig,
    },
}

/// The commands of a program that has none of its own.
#[derive(Subcommand)]
enum NoCommand {}

impl Service {
    /// Runs the command that the arguments name. `serve` calls `start` with its settings.
    pub fn run<C: Args>(
        self,
        start: impl AsyncFnOnce(C, &Lifecycle) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        self.run_with_commands(start, async |command: NoCommand| match command {})
    }

    /// The same for a program with commands of its own, which `run_command` runs.
    pub fn run_with_commands<C: Args, X: Subcommand>(
        self,
        start: impl AsyncFnOnce(C, &Lifecycle) -> anyhow::Result<()>,
        run_command: impl AsyncFnOnce(X) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let cli = self.cli::<C, X>();
        let matches = cli.clone().get_matches();
        let name = matches.subcommand_name().unwrap_or_default();
        if X::has_subcommand(name) {
            let command = X::from_arg_matches(&matches)?;
            telemetry::init_command_log()?;
            return block_on(None, done(run_command(command)));
        }
        if SchemaCommand::has_subcommand(name) {
            let command = SchemaCommand::from_arg_matches(&matches)?;
            return block_on(None, done(self.migrate(command)));
        }
        match CommonCommand::<C>::from_arg_matches(&matches)? {
            CommonCommand::Serve(serve) => {
                let Serve { process, config } = *serve;
                block_on(process.worker_threads, self.serve(process, config, start))
            }
            CommonCommand::Health(config) => {
                health::check(&config)?;
                Ok(ExitCode::SUCCESS)
            }
            CommonCommand::Settings => {
                print!("{}", settings::describe(&cli));
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn cli<C: Args, X: Subcommand>(self) -> Command {
        let cli = Command::new(self.name)
            .version(env!("CARGO_PKG_VERSION"))
            .subcommand_required(true)
            .arg_required_else_help(true);
        let cli = CommonCommand::<C>::augment_subcommands(cli);
        let cli = match self.migrations {
            Some(_) => SchemaCommand::augment_subcommands(cli),
            None => cli,
        };
        // The derived code sets the help text to the comment on the enum.
        X::augment_subcommands(cli).about(self.about).long_about(None)
    }

    async fn serve<C>(
        self,
        process: ProcessConfig,
        config: C,
        start: impl AsyncFnOnce(C, &Lifecycle) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let metrics = telemetry::init(self.name, &process)?;
        let (lifecycle, shutdown) = Lifecycle::new(process.drain_timeout);
        let set_up = async {
            trace::start(self.name, &process)?;
            admin::start(process.admin_listen, metrics, &lifecycle).await?;
            start(config, &lifecycle).await
        };
        shutdown.run(set_up).await
    }

    async fn migrate(self, command: SchemaCommand) -> anyhow::Result<()> {
        let SchemaCommand::Migrate { postgres, status, log } = command;
        let migrations = self.migrations.context("the program owns no schema")?;
        if status {
            print!("{}", postgres::migration_status(self.name, &postgres, migrations).await?);
            return Ok(());
        }
        telemetry::init_log(&log)?;
        postgres::migrate(self.name, &postgres, migrations).await
    }
}

async fn done(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    command.await.map(|()| ExitCode::SUCCESS)
}

/// Runs a future on as many threads as `WORKER_THREADS` says, or else as there are cores that the
/// process may use. A CPU quota of its container counts.
fn block_on<T>(
    worker_threads: Option<u32>,
    future: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = worker_threads.map_or_else(cores, |threads| threads as usize);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.context("cannot start threads")?.block_on(future)
}

#[cfg(test)]
#[path = "tests/service.rs"]
mod tests;
