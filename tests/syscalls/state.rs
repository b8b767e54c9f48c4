//! What lies in folders, saved and laid there again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// One file or folder of a saved state.
enum Saved {
    Folder(PathBuf),
    File {
        path: PathBuf,
        content: Vec<u8>,
        mtime: Duration,
    },
}

/// What lay in some folders, to be laid there again. The folders themselves
/// stay: a tree is known by its inode.
pub struct State {
    roots: Vec<PathBuf>,
    items: Vec<Saved>,
}

impl State {
    pub fn save(roots: &[PathBuf]) -> State {
        fn below(folder: &Path, items: &mut Vec<Saved>) {
            for item in fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                if found.is_dir() {
                    items.push(Saved::Folder(path.clone()));
                    below(&path, items);
                } else {
                    let mtime = Duration::new(found.mtime() as u64, found.mtime_nsec() as u32);
                    let content = fs::read(&path).unwrap();
                    items.push(Saved::File {
                        path,
                        content,
                        mtime,
                    });
                }
            }
        }
        let mut items = Vec::new();
        for root in roots {
            fs::create_dir_all(root).unwrap();
            below(root, &mut items);
        }
        State {
            roots: roots.to_vec(),
            items,
        }
    }

    pub fn restore(&self) {
        for root in &self.roots {
            for item in fs::read_dir(root).unwrap() {
                let item = item.unwrap();
                match item.file_type().unwrap().is_dir() {
                    true => fs::remove_dir_all(item.path()).unwrap(),
                    false => fs::remove_file(item.path()).unwrap(),
                }
            }
        }
        for item in &self.items {
            match item {
                Saved::Folder(path) => fs::create_dir(path).unwrap(),
                Saved::File {
                    path,
                    content,
                    mtime,
                } => {
                    fs::write(path, content).unwrap();
                    let file = fs::File::options().write(true).open(path).unwrap();
                    file.set_modified(UNIX_EPOCH + *mtime).unwrap();
                }
            }
        }
    }
}
