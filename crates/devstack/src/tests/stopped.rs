use std::process::Command;

use rustix::process::{Signal, kill_process};

use super::*;

#[test]
fn a_process_has_stopped_once_no_thread_runs() {
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let id = Pid::from_child(&busy);
    assert!(is_running(id));
    kill_process(id, Signal::STOP).unwrap();
    wait_until_stopped(&[id]).unwrap();
    assert!(!is_running(id));
    kill_process(id, Signal::CONT).unwrap();
    assert!(is_running(id));
    busy.kill().unwrap();
    busy.wait().unwrap();
    wait_until_stopped(&[id]).unwrap();
}
