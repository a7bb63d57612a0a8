//! `devstack reset`: deletes the data of `devstack up`.

use std::path::PathBuf;

use clap::Args;

use crate::project::ProjectFolder;

/// The options of `devstack reset`.
#[derive(Args, Debug)]
pub struct Options {
    /// The folder of the data.
    #[arg(long, env = "PARLANCE_DATA_DIR", default_value = ".parlance")]
    data_dir: PathBuf,
}

/// Deletes the data. Fails if a stack uses it.
pub fn run(options: Options) -> anyhow::Result<()> {
    if !options.data_dir.exists() {
        println!("There is no data in {}.", options.data_dir.display());
        return Ok(());
    }
    ProjectFolder::lock(&options.data_dir)?.remove()?;
    println!("Deleted {}.", options.data_dir.display());
    Ok(())
}
