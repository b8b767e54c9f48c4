//! A small file system in a file, which can be filled.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use super::{Site, has_program, is_root, skipped};

/// A file system of its own in a file.
pub struct Disk {
    pub mount: PathBuf,
}

impl Disk {
    /// None, loudly, where none can be made.
    pub fn new(site: &Site, name: &str, megabytes: u64, options: &[&str]) -> Option<Disk> {
        if !is_root() || !has_program("mkfs.ext4") {
            skipped("full disk", "needs root and mkfs.ext4");
            return None;
        }
        let (image, mount) = (site.path(&format!("{name}.img")), site.path(name));
        fs::create_dir(&mount).unwrap();
        File::create(&image)
            .unwrap()
            .set_len(megabytes * 1024 * 1024)
            .unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .args(options)
            .arg(&image)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&mount)
            .output()
            .unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
        Some(Disk { mount })
    }

    /// Fills it until so much is free; 0: until not a byte can be written.
    pub fn fill(&self, free: u64) {
        let mut ballast = File::create(self.mount.join("ballast")).unwrap();
        // The file's own blocks of places want some room.
        let bytes = self.free().saturating_sub(free.max(1 << 20));
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
        ballast.seek(SeekFrom::End(0)).unwrap();
        while self.free() > free && ballast.write_all(&[7; 4096]).is_ok() {
            ballast.sync_all().unwrap();
        }
        ballast.sync_all().ok();
    }

    pub fn empty(&self) {
        fs::remove_file(self.mount.join("ballast")).unwrap();
    }

    pub fn text(&self) -> &str {
        self.mount.to_str().unwrap()
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.mount).unwrap();
        found.f_bavail * found.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let umount = |options: &[&str]| {
            let done = Command::new("umount")
                .args(options)
                .arg(&self.mount)
                .output();
            done.is_ok_and(|done| done.status.success())
        };
        if !umount(&[]) {
            umount(&["-l"]);
        }
    }
}
