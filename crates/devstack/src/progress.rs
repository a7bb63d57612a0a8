//! Shows a person what takes long: a spinner on a terminal, a line a step elsewhere.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner that turns on the terminal; nothing when nobody watches.
pub fn spinner() -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    })
}

/// The steps of one command. It vanishes from the terminal when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    spinner: Option<ProgressBar>,
    last: Mutex<Option<String>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { spinner: spinner(), last: Mutex::new(None) }
    }

    /// Begins a step, which ends the one before.
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
