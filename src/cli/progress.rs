//! Progress on stderr: bars on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Monitor;

/// Between plain lines of one stage.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The monitor that fits stderr.
pub(super) fn monitor() -> Arc<dyn Monitor> {
    match std::io::stderr().is_terminal() {
        true => Arc::new(Bars {
            bar: Mutex::new(ProgressBar::hidden()),
        }),
        false => Arc::new(Lines {
            stage: Mutex::new((String::new(), None, Instant::now())),
            links: Mutex::new(String::new()),
            done: AtomicU64::new(0),
        }),
    }
}

struct Bars {
    bar: Mutex<ProgressBar>,
}

impl Bars {
    fn bar(&self) -> std::sync::MutexGuard<'_, ProgressBar> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Bars {
    fn stage(&self, name: &str, total: Option<u64>) {
        let template = match total {
            Some(_) => "{prefix}{msg} [{bar:30}] {pos}/{len} {per_sec} {eta}",
            None => "{msg} {spinner} {pos} {per_sec}",
        };
        let next = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            next.set_style(style);
        }
        next.set_message(name.to_string());
        let mut bar = self.bar();
        bar.finish_and_clear();
        *bar = next;
    }

    fn advance(&self, items: u64) {
        self.bar().inc(items);
    }

    fn links(&self, text: &str) {
        self.bar().set_prefix(format!("{text}  "));
    }

    fn note(&self, text: &str) {
        self.bar().println(text);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar().finish_and_clear();
    }
}

struct Lines {
    stage: Mutex<(String, Option<u64>, Instant)>,
    links: Mutex<String>,
    done: AtomicU64,
}

impl Monitor for Lines {
    fn stage(&self, name: &str, total: Option<u64>) {
        self.done.store(0, Ordering::Relaxed);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) =
            (name.into(), total, Instant::now());
    }

    fn advance(&self, items: u64) {
        let done = self.done.fetch_add(items, Ordering::Relaxed) + items;
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.2.elapsed() < LINE_EVERY {
            return;
        }
        stage.2 = Instant::now();
        let links = std::mem::take(&mut *self.links.lock().unwrap_or_else(PoisonError::into_inner));
        let links = match links.as_str() {
            "" => links,
            _ => format!("; {links}"),
        };
        let _ = match stage.1 {
            Some(total) => writeln!(std::io::stderr(), "{}: {done} of {total}{links}", stage.0),
            None => writeln!(std::io::stderr(), "{}: {done}{links}", stage.0),
        };
    }

    fn links(&self, text: &str) {
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
