//! What the laboratory can carry on this machine, link by link:
//! `cargo bench --bench lab`, as root.

#[path = "mod.rs"]
mod lab;

use anyhow::Result;
use lab::pipe::Conditions;
use lab::{End, Lab, blast};

fn main() -> Result<()> {
    if blast::entered()? {
        return Ok(());
    }
    println!("| link | asked | plain UDP | ping | lost |\n|---|---|---|---|---|");
    let links = [
        ("SINET", Conditions::line(1000, 10)),
        ("commercial", Conditions::line(200, 25).lossy(0.001)),
        ("100 Mbit/s", Conditions::line(100, 10)),
        ("20 Mbit/s", Conditions::line(20, 25)),
        ("5 % loss", Conditions::line(100, 10).lossy(0.05)),
        (
            "no limit",
            Conditions {
                rate: 0,
                ..Conditions::line(1, 0)
            },
        ),
    ];
    for (name, conditions) in links {
        let lab = Lab::new(&[(conditions, conditions)])?;
        let ping = ping(&lab)?;
        let got = lab.ceiling(0)?;
        let (down, _) = lab.link(0).counts();
        println!(
            "| {name} | {} Mbit/s, {} ms | {:.1} Mbit/s | {ping} | {:.2} % and {} at the tail |",
            conditions.rate / 1_000_000,
            conditions.delay.as_millis(),
            got / 1e6,
            down.lost as f64 * 100.0 / down.packets_in.max(1) as f64,
            down.dropped,
        );
    }
    Ok(())
}

fn ping(lab: &Lab) -> Result<String> {
    let to = lab.address(0, End::Center);
    let output = lab
        .command(End::Backup, "ping")
        .args(["-c", "5", "-i", "0.1", "-q", &to])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("rtt"));
    Ok(line.unwrap_or("no answer").to_string())
}
