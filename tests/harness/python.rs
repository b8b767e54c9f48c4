//! Python with packages from PyPI, for what another implementation judges.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a command that has to succeed; `remedy` says what to do if it does not.
#[track_caller]
pub fn must_run(command: &mut Command, remedy: &str) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: {remedy}"));
    assert!(
        output.status.success(),
        "{command:?}: {remedy}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The interpreter of an environment that has the packages of a file of
/// requirements. It lies in Cargo's folder for temporary files of tests and is
/// made once, and again when the packages are other ones.
pub fn python(name: &str, requirements: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    // Another process may make the same one.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, made) = (folder.join("venv"), folder.join("made"));
    let wanted = fs::read_to_string(requirements).unwrap();
    let python = venv.join("bin/python");
    if python.exists() && fs::read_to_string(&made).is_ok_and(|found| found == wanted) {
        return python;
    }
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir_all(&venv);
    must_run(
        Command::new("python3").args(["-c", "import venv, ensurepip"]),
        "install Python 3 with venv (Debian: apt-get install python3 python3-venv)",
    );
    must_run(
        Command::new("python3").args(["-m", "venv"]).arg(&venv),
        "install Python's venv (Debian: apt-get install python3-venv)",
    );
    must_run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(requirements),
        "the packages come from PyPI: there has to be a network, or pip has to be told of an index",
    );
    fs::write(&made, wanted).unwrap();
    python
}
