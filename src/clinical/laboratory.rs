//! Specimen tests: what was ordered (OML-01) and what came out (OML-11).

use std::collections::HashMap;

use super::coded::Coded;
use super::observation::Observation;
use super::person::Staff;
use super::when::When;
use crate::hl7::{Message, Segment};

/// The specimens of one message, with what was tested in each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabReport {
    /// In the message's order.
    pub specimens: Vec<Specimen>,
}

/// One SPM, and what follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Specimen {
    /// SPM-2: the specimen's number.
    pub id: String,
    /// SPM-4: serum, urine.
    pub material: Coded,
    /// SPM-17: when it was collected.
    pub collected: Option<When>,
    /// SPM-18: when it was received.
    pub received: Option<When>,
    /// SPM-14 and the comments behind it.
    pub comments: Vec<String>,
    /// The panels.
    pub panels: Vec<Panel>,
}

/// One OBR with its results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// OBR-4.
    pub code: Coded,
    /// OBR-2 or ORC-2: the order's number.
    pub order: String,
    /// ORC-1; `CA` or `OC` for an order that was cancelled.
    pub control: String,
    /// OBR-7: when it was observed.
    pub observed: Option<When>,
    /// OBR-22: when it was reported.
    pub reported: Option<When>,
    /// OBR-16 or ORC-12: who ordered it.
    pub ordered_by: Option<Staff>,
    /// ORC-17.
    pub department: Coded,
    /// The tests.
    pub results: Vec<Observation>,
    /// Comments: NTE behind OBR or OBX, each with the place of its test in `results`.
    pub comments: Vec<(Option<usize>, String)>,
}

/// An organism that grew, and what is said about it: OBX of one OBX-4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Culture<'a> {
    /// OBX-4.
    pub sub_id: &'a str,
    /// The organism.
    pub organism: Option<&'a Observation>,
    /// Its amount.
    pub amount: Option<&'a Observation>,
    /// Where what else has this OBX-4 is found.
    panel: &'a Panel,
}

impl LabReport {
    pub(super) fn of(message: &Message) -> Self {
        let mut report = Self::default();
        let mut order = None;
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            match segment.name.as_str() {
                "SPM" => report.specimens.push(Specimen::of(segment)),
                // In an order ORC comes first, in a result OBR does.
                "ORC" => match report.last_open_panel() {
                    Some(panel) => panel.add_order(segment),
                    None => order = Some(segment),
                },
                "OBR" => {
                    let mut panel = Panel::of(segment);
                    if let Some(order) = order.take() {
                        panel.add_order(order);
                    }
                    report.specimen().panels.push(panel);
                }
                "OBX" => report.panel().results.push(Observation::of(segment)),
                "NTE" => report.comment(segment.field(3).text()),
                _ => {}
            }
        }
        report
    }

    /// Every result with its specimen and panel.
    pub fn results(&self) -> impl Iterator<Item = (&Specimen, &Panel, &Observation)> {
        self.specimens.iter().flat_map(|specimen| {
            specimen.panels.iter().flat_map(move |panel| {
                let results = panel.results.iter();
                results.map(move |result| (specimen, panel, result))
            })
        })
    }

    fn specimen(&mut self) -> &mut Specimen {
        if self.specimens.is_empty() {
            self.specimens.push(Specimen::default());
        }
        let last = self.specimens.len() - 1;
        &mut self.specimens[last]
    }

    fn panel(&mut self) -> &mut Panel {
        let specimen = self.specimen();
        if specimen.panels.is_empty() {
            specimen.panels.push(Panel::default());
        }
        let last = specimen.panels.len() - 1;
        &mut specimen.panels[last]
    }

    /// The panel whose OBR was the segment before: its ORC may follow.
    fn last_open_panel(&mut self) -> Option<&mut Panel> {
        let panel = self.specimens.last_mut()?.panels.last_mut()?;
        (panel.results.is_empty() && panel.control.is_empty()).then_some(panel)
    }

    fn comment(&mut self, text: String) {
        let Some(specimen) = self.specimens.last_mut().filter(|_| !text.is_empty()) else {
            return;
        };
        match specimen.panels.last_mut() {
            Some(panel) => {
                let test = panel.results.len().checked_sub(1);
                panel.comments.push((test, text));
            }
            None => specimen.comments.push(text),
        }
    }
}

impl Specimen {
    fn of(segment: &Segment) -> Self {
        let description = segment.field(14).text();
        Self {
            id: segment.field(2).component(1).text(),
            material: Coded::of(segment.field(4)),
            collected: When::of(segment.field(17)),
            received: When::of(segment.field(18)),
            comments: Some(description)
                .filter(|text| !text.is_empty())
                .into_iter()
                .collect(),
            panels: Vec::new(),
        }
    }
}

impl Panel {
    fn of(segment: &Segment) -> Self {
        Self {
            code: Coded::of(segment.field(4)),
            order: segment.field(2).component(1).text(),
            observed: When::of(segment.field(7)),
            reported: When::of(segment.field(22)),
            ordered_by: Staff::of(segment.field(16)),
            ..Self::default()
        }
    }

    fn add_order(&mut self, segment: &Segment) {
        self.control = segment.field(1).text();
        self.department = Coded::of(segment.field(17));
        if self.order.is_empty() {
            self.order = segment.field(2).component(1).text();
        }
        if self.ordered_by.is_none() {
            self.ordered_by = Staff::of(segment.field(12));
        }
    }

    /// The organisms of a culture with their amounts, by OBX-4; none in a panel of another kind.
    pub fn cultures(&self) -> Vec<Culture<'_>> {
        let mut found: Vec<Culture<'_>> = Vec::new();
        let mut places = HashMap::new();
        for result in self.results.iter().filter(|result| is_of_culture(result)) {
            let place = *places.entry(result.sub_id.as_str()).or_insert_with(|| {
                found.push(Culture {
                    sub_id: &result.sub_id,
                    organism: None,
                    amount: None,
                    panel: self,
                });
                found.len() - 1
            });
            let culture = &mut found[place];
            let coded = result
                .readings
                .iter()
                .any(|reading| reading.coded.is_some());
            if coded && culture.organism.is_none() {
                culture.organism = Some(result);
            } else if !coded && culture.amount.is_none() {
                culture.amount = Some(result);
            }
        }
        found
    }
}

impl<'a> Culture<'a> {
    /// What else was observed about this organism, such as susceptibilities.
    pub fn others(&self) -> impl Iterator<Item = &'a Observation> {
        let (sub_id, shown) = (self.sub_id, [self.organism, self.amount]);
        self.panel.results.iter().filter(move |result| {
            result.sub_id == sub_id
                && is_of_culture(result)
                && !shown
                    .iter()
                    .flatten()
                    .any(|one| std::ptr::eq(*one, *result))
        })
    }
}

/// JLAC10 keeps microbiology under 6.
fn is_of_culture(result: &Observation) -> bool {
    let code = result.code.code_in("JC10");
    match code {
        Some(code) => code.starts_with('6'),
        None => result.code.text().contains('菌') && !result.sub_id.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cultures_pair_organism_and_amount() {
        let message = Message::read(
            "MSH|^~\\&\rSPM|1|||061^喀痰^JC10\rOBR|1|1||E020^一般細菌^99O03\r\
             OBX|1|CWE|6B010000006174111^菌名^JC10|1|2001^Escherichia coli^JANIS||||||F\r\
             OBX|2|ST|6B010000006174104^菌量^JC10|1|(1+)||||||F\r\
             OBX|3|CWE|6B010000006174111^菌名^JC10|2|1301^MRSA^JANIS||||||F\r\
             OBX|4|ST|6B010000006174104^菌量^JC10|2| 2 +||||||F\r\
             OBX|5|ST|6C205000006171101^CEZ^JC10|2|R||||||F\r\
             NTE|1||要注意\r"
                .as_bytes(),
        );
        let report = LabReport::of(&message);
        let panel = &report.specimens[0].panels[0];
        let cultures = panel.cultures();
        let shown: Vec<_> = cultures
            .iter()
            .map(|one| {
                (
                    one.organism.unwrap().text(),
                    one.amount.unwrap().text(),
                    one.others().count(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("Escherichia coli".to_owned(), "(1+)".to_owned(), 0),
                ("MRSA".to_owned(), "2 +".to_owned(), 1)
            ]
        );
        assert_eq!(panel.comments, [(Some(4), "要注意".to_owned())]);
    }

    #[test]
    fn results_without_a_specimen_or_panel_are_kept() {
        let message =
            Message::read(b"MSH|^~\\&\rOBX|1|NM|a||1\rNTE|1||note\rSPM|2\rOBX|1|NM|b||2\r");
        let report = LabReport::of(&message);
        assert_eq!(report.results().count(), 2);
        assert_eq!(report.specimens.len(), 2);
    }
}
