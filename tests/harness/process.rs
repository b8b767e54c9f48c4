//! Processes in the background.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::is_port_taken;

/// A process that is killed when it goes out of scope.
pub struct Process(pub Child);

impl Process {
    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and waits until it ended.
    pub fn end(mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Returns when the process listens on this UDP port; it must not end
    /// before.
    #[track_caller]
    pub fn wait_for_port(&mut self, port: u16) {
        let begun = Instant::now();
        while !is_port_taken(port) {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!("the center ended before it listened: {status}");
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the center did not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}
