//! Progress of a command: a spinner on a terminal, a line for each step elsewhere.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a spinner if the standard error is a terminal.
pub fn spinner() -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    })
}

/// Shows the steps of one command. Dropping it removes the spinner from the terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    spinner: Option<ProgressBar>,
    last: Mutex<Option<String>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { spinner: spinner(), last: Mutex::new(None) }
    }

    /// Shows the next step and marks the last one as done.
    pub(crate) fn step(&self, text: &str) {
        let last =
            self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(text.to_owned());
        match (&self.spinner, last) {
            (None, _) => eprintln!("{text} ..."),
            (Some(spinner), last) => {
                if let Some(last) = last {
                    spinner.println(format!("✓ {last}"));
                }
                spinner.set_message(text.to_owned());
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
