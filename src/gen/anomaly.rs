//! Anomalies: what real storages get wrong, put into a new one on purpose.
//!
//! About a dozen, however large the storage; each at a record of its own, and each in the report.
//! Their directories are remembered, so that later days leave them as they are.

use encoding_rs::{ISO_2022_JP, SHIFT_JIS};

use super::center::Center;
use super::disk::Folder;
use super::error::GenError;
use super::gateway::STANDARD;
use super::kind::Kind;
use super::ledger::{Ledger, RowUpdate, StoredRow};
use super::message::encode;
use super::moment::Moment;
use super::person::Person;
use super::report::{PlantedAnomaly, PlantedKind};
use crate::ssmix::RecordName;

/// A patient id that no facility gives.
const NOBODY: &str = "9999013";
/// Numbers of a person who is nobody's patient.
const STRANGER: (u64, u64) = (99_999, 13);
/// The future that a wrong clock writes.
const FUTURE: &str = "2050-01-01 00:00:00.000";
const COPY_ROW: &str = "INSERT INTO SSMIXIDX SELECT * FROM SSMIXIDX WHERE rowid = ?";

const PLANTED: &[(PlantedKind, &str)] = &[
    (
        PlantedKind::ForeignTwoBytes,
        "two bytes FB FC, under the wrong kind folder and another patient's name",
    ),
    (
        PlantedKind::OtherPerson,
        "the message's PID is of another person",
    ),
    (PlantedKind::ZeroByte, "a file without content"),
    (PlantedKind::SystemFile, "left by Windows"),
    (
        PlantedKind::Temporary,
        "a gateway died in the middle of writing",
    ),
    (PlantedKind::StrayAtRoot, "a file at the volume's root"),
    (PlantedKind::EmptyDirectory, "a kind folder without a file"),
    (
        PlantedKind::ShortTimestamp,
        "a timestamp of 14 digits in the name",
    ),
    (
        PlantedKind::TwoValid,
        "a second valid file of one key, a millisecond younger",
    ),
    (
        PlantedKind::ShiftJis,
        "Shift_JIS in a message that says ISO-2022-JP",
    ),
    (
        PlantedKind::NoTerminator,
        "the last segment has no terminator",
    ),
    (
        PlantedKind::MllpWrapped,
        "0x0B before and 0x1C 0x0D behind the message",
    ),
    (
        PlantedKind::DuplicateRow,
        "the row stands twice in the INDEX DB",
    ),
    (
        PlantedKind::DanglingRow,
        "a row of the INDEX DB points at this, which is not there",
    ),
    (
        PlantedKind::MissingRow,
        "the INDEX DB has no row for this file",
    ),
    (
        PlantedKind::FutureRow,
        "the row has an UpdateDatetime in 2050",
    ),
];

/// Plants every anomaly once and tells the center which directories to leave alone.
pub(super) fn plant(
    center: &mut Center,
    root: &mut Folder,
    ledger: &mut Ledger,
) -> Result<Vec<PlantedAnomaly>, GenError> {
    let step = (ledger.last()? / PLANTED.len() as i64).max(1);
    let mut planted = Vec::new();
    let mut behind = 0;
    ledger.execute("BEGIN")?;
    for (place, &(what, text)) in PLANTED.iter().enumerate() {
        let Some(row) = ledger.valid_from((1 + place as i64 * step).max(behind + 1))? else {
            continue;
        };
        behind = row.rowid;
        let directory = format!("{}/{}/{}", row.facility, row.label, row.directory);
        let spot = Spot {
            file: format!("{directory}/{}", row.file),
            directory,
            row,
        };
        let path = match spot.plant(what, center.seed, root, ledger)? {
            Some(path) => path,
            None => continue,
        };
        center.protected.insert(spot.directory);
        planted.push(PlantedAnomaly {
            path: format!("volumes/{path}"),
            what,
            text,
        });
    }
    ledger.execute("COMMIT")?;
    Ok(planted)
}

/// A record where an anomaly goes; paths are relative to `volumes`.
struct Spot {
    directory: String,
    file: String,
    row: StoredRow,
}

impl Spot {
    /// Plants one anomaly and gives its path; `None` where it can't be.
    fn plant(
        &self,
        what: PlantedKind,
        seed: u64,
        root: &mut Folder,
        ledger: &mut Ledger,
    ) -> Result<Option<String>, GenError> {
        match what {
            PlantedKind::ForeignTwoBytes
            | PlantedKind::SystemFile
            | PlantedKind::Temporary
            | PlantedKind::StrayAtRoot
            | PlantedKind::EmptyDirectory => self.add(what, root),
            PlantedKind::ShortTimestamp | PlantedKind::TwoValid => self.rename(what, root, ledger),
            PlantedKind::DuplicateRow
            | PlantedKind::DanglingRow
            | PlantedKind::MissingRow
            | PlantedKind::FutureRow => self.spoil_row(what, ledger),
            _ => {
                let content = root.read(self.file.as_bytes())?;
                root.rewrite(self.file.as_bytes(), &spoiled(what, content, seed))?;
                Ok(Some(self.file.clone()))
            }
        }
    }

    /// Files and directories beside the record.
    fn add(&self, what: PlantedKind, root: &mut Folder) -> Result<Option<String>, GenError> {
        let Some((date_folder, _)) = self.directory.rsplit_once('/') else {
            return Ok(None);
        };
        let mtime = Moment::of_date(2026, 2, 28)
            .plus_minutes(11 * 60)
            .mtime(what as u64);
        let (path, content) = match what {
            PlantedKind::ForeignTwoBytes => {
                let name =
                    format!("{NOBODY}_20110630_OMP-11_123456789012345_20110701113813225_01_1");
                root.make(format!("{date_folder}/ADT-31").as_bytes())?;
                (format!("{date_folder}/ADT-31/{name}"), vec![0xFB, 0xFC])
            }
            PlantedKind::SystemFile => {
                let mut content = vec![0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];
                content.resize(512, 0);
                (format!("{}/Thumbs.db", self.directory), content)
            }
            PlantedKind::Temporary => {
                let mut content = root.read(self.file.as_bytes())?;
                content.truncate(content.len() / 2);
                (format!("{}.tmp", self.file), content)
            }
            PlantedKind::StrayAtRoot => {
                let path = format!("{}/{}/readme.txt", self.row.facility, self.row.label);
                (
                    path,
                    "2026/02/28 サーバ更新のため移行済み。担当：医療情報室\r\n"
                        .as_bytes()
                        .to_vec(),
                )
            }
            _ => {
                let free = |place: &usize| {
                    !root.has(format!("{date_folder}/{}", Kind::at(*place).code()).as_bytes())
                };
                let Some(place) = (0..Kind::COUNT).rev().find(free) else {
                    return Ok(None);
                };
                let path = format!("{date_folder}/{}", Kind::at(place).code());
                root.make(path.as_bytes())?;
                return Ok(Some(path));
            }
        };
        root.write(path.as_bytes(), &content, mtime)?;
        Ok(Some(path))
    }

    /// Names that real gateways give against the guideline.
    fn rename(
        &self,
        what: PlantedKind,
        root: &mut Folder,
        ledger: &mut Ledger,
    ) -> Result<Option<String>, GenError> {
        let Ok(mut name) = RecordName::parse(self.row.file.as_bytes()) else {
            return Ok(None);
        };
        let twin;
        let rowid = if what == PlantedKind::ShortTimestamp {
            name.timestamp = &name.timestamp[..14.min(name.timestamp.len())];
            self.row.rowid
        } else {
            let stamp: u64 = String::from_utf8_lossy(name.timestamp).parse().unwrap_or(0);
            // 999 milliseconds have no successor within their second.
            twin = (if stamp % 1000 == 999 {
                stamp - 1
            } else {
                stamp + 1
            })
            .to_string();
            name.timestamp = twin.as_bytes();
            ledger.on_row(COPY_ROW, self.row.rowid)?;
            ledger.last()?
        };
        let file = String::from_utf8_lossy(&name.to_bytes()).into_owned();
        let path = format!("{}/{file}", self.directory);
        if what == PlantedKind::ShortTimestamp {
            root.move_to(self.file.as_bytes(), path.as_bytes())?;
        } else {
            let content = edited(&root.read(self.file.as_bytes())?, "MSH", |fields| {
                fields[9].push_str("-B")
            });
            root.write(
                path.as_bytes(),
                &content,
                Moment::of_date(2026, 2, 28).mtime(9),
            )?;
        }
        let updated = Moment::of_date(2026, 2, 28).plus_minutes(600).row();
        ledger.update(&[RowUpdate {
            rowid,
            file,
            updated,
            deleted: false,
        }])?;
        Ok(Some(path))
    }

    /// What goes wrong in the INDEX DB alone.
    fn spoil_row(
        &self,
        what: PlantedKind,
        ledger: &mut Ledger,
    ) -> Result<Option<String>, GenError> {
        let rowid = self.row.rowid;
        match what {
            PlantedKind::DuplicateRow => ledger.on_row(COPY_ROW, rowid)?,
            PlantedKind::DanglingRow => {
                let Ok(name) = RecordName::parse(self.row.file.as_bytes()) else {
                    return Ok(None);
                };
                let file = String::from_utf8_lossy(
                    &RecordName {
                        order: b"000000000000000",
                        ..name
                    }
                    .to_bytes(),
                )
                .into_owned();
                ledger.on_row(COPY_ROW, rowid)?;
                let rowid = ledger.last()?;
                let updated = Moment::of_date(2026, 2, 27).plus_minutes(700).row();
                ledger.update(&[RowUpdate {
                    rowid,
                    file: file.clone(),
                    updated,
                    deleted: false,
                }])?;
                return Ok(Some(format!("{}/{file}", self.directory)));
            }
            PlantedKind::MissingRow => {
                ledger.on_row("DELETE FROM SSMIXIDX WHERE rowid = ?", rowid)?
            }
            _ => ledger.update(&[RowUpdate {
                rowid,
                file: self.row.file.clone(),
                updated: FUTURE.to_owned(),
                deleted: false,
            }])?,
        }
        debug_assert_eq!(self.row.label, STANDARD);
        Ok(Some(self.file.clone()))
    }
}

/// A message with something wrong in it.
fn spoiled(what: PlantedKind, mut content: Vec<u8>, seed: u64) -> Vec<u8> {
    match what {
        PlantedKind::ZeroByte => Vec::new(),
        PlantedKind::OtherPerson => {
            let stranger = Person::of(seed, STRANGER.0, STRANGER.1);
            edited(&content, "PID", |fields| {
                for (place, text) in [
                    (3, format!("{NOBODY}^^^^PI")),
                    (5, stranger.name.xpn()),
                    (7, stranger.birth.date()),
                ] {
                    if let Some(field) = fields.get_mut(place) {
                        *field = text;
                    }
                }
            })
        }
        PlantedKind::ShiftJis => SHIFT_JIS
            .encode(&ISO_2022_JP.decode(&content).0)
            .0
            .into_owned(),
        PlantedKind::NoTerminator => {
            content.pop();
            content
        }
        _ => [b"\x0b", &content[..], b"\x1c\r"].concat(),
    }
}

/// A message with one segment changed, by its fields; field 0 is the segment's name.
fn edited(content: &[u8], segment: &str, change: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let (text, _, _) = ISO_2022_JP.decode(content);
    let lines: Vec<String> = text
        .split('\r')
        .map(|line| {
            if !line.starts_with(segment) {
                return line.to_owned();
            }
            let mut fields: Vec<String> = line.split('|').map(str::to_owned).collect();
            change(&mut fields);
            fields.join("|")
        })
        .collect();
    encode(&lines.join("\r"))
}
