use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::process::Process;

fn sleeper() -> Process {
    let mut command = Command::new("sleep");
    command.arg("600");
    Process::spawn("sleeper", command).expect("sleep is there")
}

#[tokio::test]
async fn waiting_for_a_running_process_ends_with_the_deadline() {
    let process = sleeper();
    assert_eq!(process.wait(Duration::from_millis(30)).await, None);
    process.kill();
    let status = process.wait(Duration::ZERO).await.expect("it was killed");
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn ending_needs_no_sigkill_where_sigterm_does() {
    let process = sleeper();
    process.end(Duration::from_secs(10));
    assert_eq!(process.status().and_then(|status| status.signal()), Some(Signal::SIGTERM as i32));
}

#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let process = std::thread::spawn(sleeper).join().expect("spawning does not panic");
    assert_eq!(process.wait_blocking(Duration::from_millis(100)), None);
    process.kill();
}

#[test]
fn a_missing_program_is_an_error() {
    assert!(Process::spawn("nothing", Command::new("/no/such/program")).is_err());
}
