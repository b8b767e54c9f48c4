//! What a page of a patient is given: the charts that were granted, and how
//! to read and name what lies in them.

use maud::{Markup, html};

use super::audit::Whose;
use super::chart::{Chart, Item};
use super::clock;
use super::gate::Gate;
use super::pages;
use super::request::Request;
use crate::catalogue::CatalogueError;
use crate::clinical::{Allergy, Basics, Body, Kind, Record, summarize};
use crate::language::Language;

/// Undated records that are read for the banner.
const UNDATED_MAX: usize = 40;

/// What a page shows of a patient, all of it granted and logged.
pub(super) struct View<'a> {
    pub language: Language,
    pub request: &'a Request,
    pub gate: &'a Gate,
    /// The patient that was asked for.
    pub whose: Whose,
    /// The chart that was asked for, then those of the same person elsewhere.
    pub charts: Vec<Chart>,
    /// Whether the user may see raw messages and history.
    pub may_raw: bool,
    /// The commit as of which it is shown; none: the newest.
    pub commit: Option<u64>,
}

/// A record that was read.
pub(super) struct Read {
    /// Of which chart.
    pub chart: usize,
    /// The file.
    pub item: Item,
    /// What it says.
    pub record: Record,
}

/// Records for one page.
#[derive(Default)]
pub(super) struct Reads {
    /// Those that count, newest first.
    pub records: Vec<Read>,
    /// Those that may be another patient's: shown only by name.
    pub blocked: Vec<Read>,
    /// Files that can't be read.
    pub unreadable: Vec<(usize, Item)>,
    /// Records that the filter leaves out, in whatever period.
    pub left_out: usize,
    /// The date before which there are more.
    pub older: Option<String>,
}

impl Read {
    /// The date folder, for people.
    pub(super) fn date_text(&self) -> String {
        date_text(&self.item.date)
    }
}

/// `20260331` as `2026-03-31`; `-` and others as they are.
pub(super) fn date_text(date: &str) -> String {
    match (date.len(), date.get(..4), date.get(4..6), date.get(6..)) {
        (8, Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => date.to_string(),
    }
}

impl Reads {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What a reader has to know before the table.
    pub(super) fn notes(&self, view: &View<'_>) -> Markup {
        let language = view.language;
        html! {
            @for read in &self.blocked {
                div.alarm {
                    (language.pick("⚠ 別の患者の記録かもしれないため表示していません：", "⚠ Withheld, may be another patient's: "))
                    (view.link_item(read.chart, &read.item, &format!("{} {}", view.kind_name(&read.item), read.date_text())))
                    @if let Some(warning) = read.record.warning() { " — " (warning.text(language)) }
                }
            }
            @if self.left_out > 0 {
                div.note {
                    "⚠ "
                    (language.pick(
                        format!("この端末に保管していない記録（保存条件の対象外）：{}件", self.left_out),
                        format!("Records that are not kept on this computer (its filter leaves them out): {}", self.left_out),
                    ))
                }
            }
            @for (chart, item) in &self.unreadable {
                div.note {
                    (language.pick("読み出せないファイル：", "Can't be read: "))
                    (view.link_item(*chart, item, &item.path.text().to_string()))
                }
            }
        }
    }

    /// What stands where no record is shown.
    pub(super) fn none(&self, view: &View<'_>) -> Markup {
        let is_whole = self.left_out == 0 && !view.charts.iter().any(Chart::is_bare);
        let text = match is_whole {
            true => view.language.pick("ありません。", "None."),
            false => view.language.pick(
                "この端末に保管している記録にはありません。",
                "None among the records that are kept here.",
            ),
        };
        html! { p { (text) } }
    }

    /// The way to what is older, or back.
    pub(super) fn pages(&self, view: &View<'_>, tab: &str) -> Markup {
        let language = view.language;
        html! {
            @if self.older.is_some() || !view.request.field("until").is_empty() {
                nav.pages aria-label=(language.pick("期間", "Period")) {
                    @if !view.request.field("until").is_empty() {
                        a href=(view.tab(tab)) { (language.pick("最新へ", "Newest")) }
                    }
                    @if let Some(older) = &self.older {
                        a href={ (view.tab(tab)) (if view.tab(tab).contains('?') { "&" } else { "?" }) "until=" (older) } {
                            (language.pick("さらに古い記録 →", "Older →"))
                        }
                    }
                }
            }
        }
    }
}

impl View<'_> {
    /// The current records of some kinds, newest first, down to about `max`:
    /// a day is never divided.
    pub(super) fn read(&self, kinds: &[Kind], max: usize) -> Reads {
        self.read_where(max, |item| kinds.contains(&item.kind))
    }

    /// The current records that `wanted` names, from the page on that was
    /// asked for.
    pub(super) fn read_where(&self, max: usize, wanted: impl Fn(&Item) -> bool) -> Reads {
        let until = self.request.field("until");
        self.newest(max, |item| {
            (until.is_empty() || item.date == "-" || item.date.as_str() < until) && wanted(item)
        })
    }

    /// The newest current records that `wanted` names, whatever page was asked
    /// for.
    pub(super) fn newest(&self, max: usize, wanted: impl Fn(&Item) -> bool) -> Reads {
        let mut found: Vec<(usize, &Item)> = Vec::new();
        let mut reads = Reads::default();
        for (at, chart) in self.charts.iter().enumerate() {
            let items = chart.items().iter();
            for item in items.filter(|item| item.is_current() && wanted(item)) {
                match item.is_kept() {
                    true => found.push((at, item)),
                    false => reads.left_out += 1,
                }
            }
        }
        found.sort_by(|one, two| order(two.1).cmp(&order(one.1)));
        let mut last = "";
        for (count, (chart, item)) in found.into_iter().enumerate() {
            if count >= max && item.date != last {
                reads.older = Some(last.to_string());
                break;
            }
            last = &item.date;
            self.put(&mut reads, chart, item);
        }
        reads
    }

    fn put(&self, reads: &mut Reads, chart: usize, item: &Item) {
        match self.record(chart, item) {
            None => reads.unreadable.push((chart, item.clone())),
            Some(record) => {
                let read = Read {
                    chart,
                    item: item.clone(),
                    record,
                };
                match read.record.warning() {
                    Some(_) => reads.blocked.push(read),
                    None => reads.records.push(read),
                }
            }
        }
    }

    /// One file, read; none if it can't be.
    pub(super) fn record(&self, chart: usize, item: &Item) -> Option<Record> {
        let record: Result<Option<Record>, CatalogueError> = self.charts.get(chart)?.record(item);
        match record {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "a record could not be read");
                None
            }
        }
    }

    /// Whether the filter leaves out a current record of these kinds.
    pub(super) fn leaves_out(&self, kinds: &[Kind]) -> bool {
        let mut items = self.charts.iter().flat_map(Chart::items);
        items.any(|item| item.is_current() && !item.is_kept() && kinds.contains(&item.kind))
    }

    /// The newest basics of the patient that was asked for.
    pub(super) fn basics(&self) -> Option<Basics> {
        let items = self.charts.first()?.items().iter();
        let mut items: Vec<&Item> = items
            .filter(|item| item.is_current() && item.kind == Kind::Basics)
            .collect();
        items.sort_by(|one, two| two.timestamp.cmp(&one.timestamp));
        items.into_iter().find_map(|item| {
            let record = self.record(0, item)?;
            match record.body {
                Body::Basics(ref basics) if record.counts() => Some((**basics).clone()),
                _ => None,
            }
        })
    }

    /// The file that the path names, unless it is history and the user may not
    /// see that.
    pub(super) fn chosen(&self) -> Option<&Item> {
        let hex = self.request.part("file");
        let digits = hex.as_bytes().chunks(2).map(|pair| {
            let text = std::str::from_utf8(pair)
                .ok()
                .filter(|text| text.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        });
        let path: Vec<u8> = digits.collect::<Option<_>>()?;
        let item = self
            .charts
            .first()?
            .item(self.request.part("label"), &path)?;
        (self.may_raw || item.flag.is_none() || item.is_current()).then_some(item)
    }

    /// The file of this name in the same content folder.
    pub(super) fn beside(&self, item: &Item, name: &str) -> Option<&Item> {
        let whole = item.path.as_bytes();
        let folder = whole.get(..whole.len().checked_sub(item.document.len())?)?;
        let path = [folder, name.as_bytes()].concat();
        self.charts.first()?.item(&item.label, &path)
    }

    /// What is known of allergies, each once, over all charts: none if no
    /// record speaks of any.
    pub(super) fn allergies(&self) -> Option<Vec<Allergy>> {
        let reads = self.read(&[Kind::Allergies, Kind::Basics], UNDATED_MAX);
        let records: Vec<&Record> = reads.records.iter().map(|read| &read.record).collect();
        let summary = summarize(&records, self.today());
        let known = summary.allergies.into_iter();
        summary
            .allergies_recorded
            .then(|| known.map(|(_, allergy)| allergy.clone()).collect())
    }

    /// Whether a chart is of the facility that was asked for.
    pub(super) fn is_own(&self, chart: usize) -> bool {
        let chart = self.charts.get(chart);
        chart.is_some_and(|chart| chart.facility() == self.whose.facility)
    }

    /// The name of a chart's facility.
    pub(super) fn facility(&self, chart: usize) -> &str {
        let chart = self.charts.get(chart);
        chart.map_or("", |chart| {
            self.gate.registry().facility_name(chart.facility())
        })
    }

    /// The address of a tab of this patient, with what is chosen.
    pub(super) fn tab(&self, tab: &str) -> String {
        pages::with_choices(&pages::patient_path(&self.whose, tab), self.request)
    }

    /// The facility of a chart, as a mark: own and others differ by more than
    /// colour.
    pub(super) fn mark(&self, chart: usize) -> Markup {
        let Some(chart) = self.charts.get(chart) else {
            return html! {};
        };
        let name = self.gate.registry().facility_name(chart.facility());
        let is_own = chart.facility() == self.whose.facility;
        html! {
            @if is_own { span.mine { (name) } }
            @else { span.other { "⇄ " (name) } }
        }
    }

    /// The name of a file's kind.
    pub(super) fn kind_name(&self, item: &Item) -> String {
        match item.title.is_empty() {
            true => item.kind.text(self.language).to_string(),
            false => item.title.clone(),
        }
    }

    /// A link to the page of one record.
    pub(super) fn link(&self, read: &Read, text: &str) -> Markup {
        self.link_item(read.chart, &read.item, text)
    }

    /// The same of a file that was not read.
    pub(super) fn link_item(&self, chart: usize, item: &Item, text: &str) -> Markup {
        html! { a href=(self.address(chart, item, "record")) { (text) } }
    }

    /// The address of one file's page.
    pub(super) fn address(&self, chart: usize, item: &Item, page: &str) -> String {
        let whose = self.charts.get(chart).map(|chart| Whose {
            facility: chart.facility().into(),
            patient: chart.patient().into(),
        });
        let path = pages::patient_path(&whose.unwrap_or_else(|| self.whose.clone()), page);
        let hex: String = item
            .path
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let label = super::request::escaped(&item.label);
        let path = format!("{path}/{label}/{hex}");
        match self.request.field("at") {
            "" => path,
            at => format!("{path}?at={}", super::request::escaped(at)),
        }
    }

    /// Notes on a record, and its attention marks.
    pub(super) fn record_notes(&self, record: &Record) -> Markup {
        html! {
            @for note in &record.notes {
                @if note.blocks() { div.alarm role="alert" { "⚠ " (note.text(self.language)) } }
                @else { div.note { (note.text(self.language)) } }
            }
        }
    }

    /// The day by which ages and estimates are told: that of the state shown.
    pub(super) fn today(&self) -> jiff::civil::Date {
        let at_ms = self
            .commit
            .and_then(|commit| self.gate.viewer().accepted_ms(commit));
        clock::civil(at_ms.unwrap_or(self.gate.now_ms())).date()
    }
}

/// Dated records by date and time of the transaction; undated ones, which are
/// what holds now, first.
fn order(item: &Item) -> (bool, &str, &str) {
    (item.date == "-", &item.date, &item.timestamp)
}
