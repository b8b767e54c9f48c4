//! Hints as lines of a text: what operators export from a database that is
//! not read here, or a list of paths.
//!
//! A line is a path, or a row of SSMIXIDX as CSV or TSV. A line that is
//! neither is named with its number and never passed over silently.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, PathText, split_last};
use serde::{Deserialize, Serialize};

use super::{GARBAGE_NAMED_MAX, Hint, Hints};

/// Columns of SSMIXIDX, guideline 1.2g, in their order; those that a hint
/// needs by their place.
const LABEL: usize = 0;
const FACILITY: usize = 1;
const DIRECTORY: usize = 9;
/// Columns up to FileName: a row without header has at least these.
const COLUMNS_MIN: usize = 11;
/// What separates columns.
const SEPARATORS: [u8; 4] = *b"\t,;|";
/// Bytes of a line, at most.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Where volumes lie, so that a path is known to be in one.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Every `<facility>/<label>/` below is a volume.
    pub discover: Option<PathBuf>,
    /// Single volumes: `facility/label` and root.
    pub roots: Vec<(String, PathBuf)>,
}

/// What was read from lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Directories to look at.
    pub hints: Hints,
    /// Lines that are not empty, without the header.
    pub lines: u64,
    /// What is wrong with the first bad lines, with their numbers.
    pub bad: Vec<String>,
    /// How many bad lines there are.
    pub bad_lines: u64,
}

/// Where the columns of a row are.
#[derive(Debug, Clone, Copy)]
struct Header {
    separator: u8,
    facility: usize,
    label: usize,
    directory: usize,
}

impl Lines {
    /// Reads lines to the end; holds one of them at a time.
    ///
    /// Errors: of the reader alone.
    pub fn read(mut reader: impl BufRead, places: &Places) -> std::io::Result<Lines> {
        let mut lines = Lines::default();
        let mut header = None;
        let mut bytes = Vec::new();
        for number in 1_u64.. {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            let mut line = bytes.as_slice();
            if number == 1 {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                header = Header::of(line);
                if header.is_some() {
                    continue;
                }
            }
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            lines.lines += 1;
            match hint(line, header, places) {
                Ok(hint) => lines.hints.add(&hint),
                Err(why) => lines.bad(number, line, &why),
            }
        }
        Ok(lines)
    }

    fn bad(&mut self, number: u64, line: &[u8], why: &str) {
        self.bad_lines += 1;
        if self.bad.len() < GARBAGE_NAMED_MAX {
            let shown = &line[..line.len().min(200)];
            self.bad
                .push(format!("line {number}: {why}: {}", PathText::new(shown)));
        }
    }
}

/// The directory that a line names.
fn hint(line: &[u8], header: Option<Header>, places: &Places) -> Result<Hint, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Err("UTF-16; expected UTF-8 or another extension of ASCII".into());
    }
    let (fields, header) = match header {
        Some(header) => (fields(line, header.separator)?, header),
        None => {
            let rows = [b'\t', b','].map(|separator| (fields(line, separator), separator));
            let row = rows.into_iter().find_map(|(fields, separator)| {
                let fields = fields.ok().filter(|fields| fields.len() >= COLUMNS_MIN)?;
                Some((fields, Header::in_order(separator)))
            });
            match row {
                Some(row) => row,
                None => return path_hint(line, places),
            }
        }
    };
    let column = |at: usize, name: &str| {
        let field = fields.get(at).map(Vec::as_slice);
        field.ok_or_else(|| format!("{} columns, none is {name}", fields.len()))
    };
    let hint = Hint::from_columns(
        column(header.facility, "FacilityID")?,
        column(header.label, "VolumeLabel")?,
        column(header.directory, "OutRelDirectory")?,
    )
    .map_err(|error| error.to_string())?;
    match places.root(&hint.volume) {
        Some(_) => Ok(hint),
        None => Err(unknown(&hint.volume)),
    }
}

fn unknown(volume: &[u8]) -> String {
    format!("no volume {} is here", PathText::new(volume))
}

/// The fields of a CSV or TSV line.
fn fields(line: &[u8], separator: u8) -> Result<Vec<Vec<u8>>, String> {
    if !line.contains(&b'"') {
        let fields = line.split(|&byte| byte == separator);
        return Ok(fields.map(<[u8]>::to_vec).collect());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .from_reader(line);
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(_) => Ok(record.iter().map(<[u8]>::to_vec).collect()),
        Err(error) => Err(error.to_string()),
    }
}

impl Header {
    /// Columns in the guideline's order.
    fn in_order(separator: u8) -> Header {
        Header {
            separator,
            facility: FACILITY,
            label: LABEL,
            directory: DIRECTORY,
        }
    }

    /// If a line names the columns.
    fn of(line: &[u8]) -> Option<Header> {
        SEPARATORS.into_iter().find_map(|separator| {
            let names = fields(line.trim_ascii(), separator).ok()?;
            let find = |wanted: &str| {
                let is = |name: &Vec<u8>| name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
                names.iter().position(is)
            };
            Some(Header {
                separator,
                facility: find("FacilityID")?,
                label: find("VolumeLabel")?,
                directory: find("OutRelDirectory")?,
            })
        })
    }
}

/// The directory of a path: absolute, or `facility/label/...`; separators `/`
/// or `\`. Whether the last component is a file or a directory can't be seen
/// from a path, and it may be gone: the directory above is looked at, except
/// where that is above the leaves and this one is a directory.
fn path_hint(line: &[u8], places: &Places) -> Result<Hint, String> {
    let (volume, root, below) = places.find(line)?;
    let path = Hint::path(&below).map_err(|_| "no path below a volume".to_string())?;
    let components = path.split(|&byte| byte == b'/').count();
    let is_directory = components <= LEAF_DEPTH_MAX && {
        use std::os::unix::ffi::OsStrExt;
        root.join(std::ffi::OsStr::from_bytes(&path)).is_dir()
    };
    Ok(Hint {
        volume,
        directory: match is_directory {
            true => path,
            false => split_last(&path).0.to_vec(),
        },
    })
}

impl Places {
    /// The root of a volume that is here.
    fn root(&self, volume: &[u8]) -> Option<PathBuf> {
        let mut roots = self.roots.iter();
        if let Some((_, root)) = roots.find(|(name, _)| name.as_bytes() == volume) {
            return Some(root.clone());
        }
        use std::os::unix::ffi::OsStrExt;
        let root = self.discover.as_ref()?;
        let root = root.join(std::ffi::OsStr::from_bytes(volume));
        root.is_dir().then_some(root)
    }

    /// Volume, its root, and the path below it.
    fn find(&self, line: &[u8]) -> Result<(Vec<u8>, PathBuf, Vec<u8>), String> {
        let slashes: Vec<u8> = line
            .iter()
            .map(|&byte| if byte == b'\\' { b'/' } else { byte })
            .collect();
        let mut path = slashes.as_slice();
        if path.starts_with(b"/") {
            for (name, root) in &self.roots {
                if let Some(below) = below(path, root) {
                    return Ok((name.clone().into_bytes(), root.clone(), below.to_vec()));
                }
            }
            let discover = self.discover.as_deref();
            path = discover
                .and_then(|discover| below(path, discover))
                .ok_or("the path is below no volume of hikae.toml")?;
        }
        let mut parts = path.splitn(3, |&byte| byte == b'/');
        let (Some(facility), Some(label), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("neither facility/label/path nor a row of SSMIXIDX".into());
        };
        let volume = [facility, b"/", label].concat();
        match self.root(&volume) {
            Some(root) => Ok((volume, root, rest.to_vec())),
            None => Err(unknown(&volume)),
        }
    }
}

fn below<'a>(path: &'a [u8], root: &Path) -> Option<&'a [u8]> {
    use std::os::unix::ffi::OsStrExt;
    let root = root.as_os_str().as_bytes();
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root)?.strip_prefix(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two volumes, one discovered and one named; directories of it.
    fn read(text: &[u8]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let discover = folder.path().join("ssmix");
        std::fs::create_dir_all(discover.join("0410000001/STD01/012/345")).unwrap();
        let places = Places {
            discover: Some(discover.clone()),
            roots: vec![("F/L".into(), "/data/old".into())],
        };
        let text = String::from_utf8_lossy(text)
            .replace("$DISCOVER", discover.to_str().unwrap())
            .into_bytes();
        let lines = Lines::read(text.as_slice(), &places).unwrap();
        assert_eq!(lines.bad_lines as usize, lines.bad.len());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        for (volume, directories) in lines.hints.into_volumes() {
            let below = directories.iter();
            found.extend(below.map(|below| format!("{}:{}", text(&volume), text(below))));
        }
        (found, lines.bad)
    }

    const DAY: &str = "0410000001/STD01:012/345/0123456/20250401";
    const ROW: &str = "STD01,0410000001,0123456,20250401,OMP-01,1,INS,01,20250401120000000,\
                       012\\345\\0123456\\20250401,name_1,2025-04-01 12:00:00";

    #[test]
    fn rows_as_databases_export_them() {
        let quoted = "\"STD01\",\"0410000001\",\"1\",\"2\",\"a,b\",\"1\",\"INS\",\"01\",\"2\",\
                      \"\\012\\345\\0123456\\20250401\\\",\"x\",\"\"";
        let tabs = ROW.replace(',', "\t");
        for row in [ROW, quoted, &tabs, &format!("\u{feff}{ROW}\r\n\r\n")] {
            let (found, bad) = read(row.as_bytes());
            assert_eq!(found, [DAY], "{row}: {bad:?}");
            assert!(bad.is_empty(), "{bad:?}");
        }
        for separator in ["\t", ",", ";", "|"] {
            let text = "OUTRELDIRECTORY;more;facilityid;\"VolumeLabel\"\r\n\
                 012/345/0123456/20250401;x;0410000001;STD01 \n";
            let (found, bad) = read(text.replace(';', separator).as_bytes());
            assert_eq!((found, bad), (vec![DAY.to_string()], vec![]), "{separator}");
        }
    }

    #[test]
    fn paths_of_files_directories_and_roots() {
        for (path, expected) in [
            ("0410000001/STD01/012/345/0123456/20250401/OMP-01", DAY),
            ("$DISCOVER/0410000001/STD01/012/345/0123456/20250401/x", DAY),
            ("0410000001\\STD01\\012\\345\\0123456\\20250401\\x", DAY),
            ("/data/old/a/b/c/d/e", "F/L:a/b/c/d"),
            ("0410000001/STD01/012/345", "0410000001/STD01:012/345"),
            ("0410000001/STD01/012/346", "0410000001/STD01:012"),
            ("0410000001/STD01/stray.txt", "0410000001/STD01:"),
        ] {
            let (found, bad) = read(path.as_bytes());
            assert_eq!((found, bad), (vec![expected.to_string()], vec![]), "{path}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_hides_no_other() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for bad in [
            "hello",
            "0410000001/STD01",
            "0410000009/STD01/a/b/c/d",
            "0410000001/STD01/../../etc/passwd",
            "/elsewhere/a/b/c",
            "3 rows selected.",
            &ROW.replace("0410000001", ""),
            &ROW.replace("0410000001", "0410000009"),
            &ROW.replace("012\\", "..\\"),
            &long,
        ] {
            let (found, named) = read(format!("{ROW}\n\n{bad}\n{ROW}").as_bytes());
            assert_eq!(found, [DAY], "{bad}");
            assert_eq!(named.len(), 1, "{bad}");
            assert!(named[0].starts_with("line 3: "), "{named:?}");
        }
        let (found, named) = read(b"FacilityID,VolumeLabel,OutRelDirectory\nF\n");
        assert!(
            found.is_empty() && named[0].starts_with("line 2: "),
            "{named:?}"
        );
        let (found, named) = read(b"\xff\xfeS\0T\0");
        assert!(found.is_empty() && named.len() == 1, "{named:?}");
    }
}
