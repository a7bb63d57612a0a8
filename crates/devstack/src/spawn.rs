//! The thread that starts all child processes. The kernel ends a child when the *thread* that
//! started it ends (see `PR_SET_PDEATHSIG` in prctl(2)); this thread runs as long as the process
//! does.

use std::io::{self, Write};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::thread;

use anyhow::anyhow;
use tokio::sync::{mpsc, oneshot};

/// A command, its standard input, and the receiver of the started child.
type Job = (Command, Vec<u8>, oneshot::Sender<io::Result<Child>>);

static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (sender, mut jobs) = mpsc::channel::<Job>(16);
    thread::spawn(move || {
        while let Some((mut command, input, reply)) = jobs.blocking_recv() {
            if let Err(Ok(mut unwanted)) = reply.send(start(&mut command, &input)) {
                let _ = unwanted.kill();
                let _ = unwanted.wait();
            }
        }
    });
    sender
});

/// Starts a command. If its standard input is a pipe, `input` is written to it; it must be short.
pub(crate) async fn spawn(command: Command, input: Vec<u8>) -> anyhow::Result<Child> {
    let (sender, reply) = oneshot::channel();
    let ended = || anyhow!("the thread that starts processes has ended");
    JOBS.send((command, input, sender)).await.map_err(|_| ended())?;
    Ok(reply.await.map_err(|_| ended())??)
}

fn start(command: &mut Command, input: &[u8]) -> io::Result<Child> {
    let mut child = command.spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that ended at once has closed the pipe. Its exit status tells more.
        let _ = pipe.write_all(input);
    }
    Ok(child)
}
