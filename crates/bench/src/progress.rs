//! Shows a person how far a run is: a spinner on a terminal, a line for each step elsewhere.

use std::time::Instant;

use indicatif::ProgressBar;
use parlance_devstack::spinner;

/// The display of one run.
#[derive(Debug)]
pub(crate) struct Display {
    begin: Instant,
    spinner: Option<ProgressBar>,
}

impl Display {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), spinner: spinner() }
    }

    /// Begins a step.
    pub(crate) fn step(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(text.to_owned()),
            None => self.line(text),
        }
    }

    /// Says something that stays.
    pub(crate) fn line(&self, text: &str) {
        let line = format!("{:>6.1} s  {text}", self.begin.elapsed().as_secs_f64());
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
