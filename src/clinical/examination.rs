//! Examinations: radiology, endoscopy and physiology, ordered (OMG-01/02/03) and done (OMG-11/12/13),
//! and vitals of the extended storage, which have the same form.
//!
//! An order is a tree: NW for the whole, PA for the parent with what all parts share, CH for a part.

use std::collections::HashMap;

use super::coded::Coded;
use super::medication::Timing;
use super::observation::Observation;
use super::person::Staff;
use super::when::When;
use crate::hl7::{Message, Segment};

/// The orders of one message as trees.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examination {
    /// Those that are part of no other, in the message's order.
    pub orders: Vec<Order>,
}

/// One order: ORC and OBR with what follows them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Order {
    /// ORC-1: `NW`, `PA`, `CH`, `CA`; empty without ORC.
    pub control: String,
    /// ORC-2, else OBR-2.
    pub number: String,
    /// OBR-2, which can differ from ORC-2.
    pub observation_number: String,
    /// ORC-8 or OBR-29: the number of the order that it is part of.
    pub parent: String,
    /// ORC-9.
    pub ordered_at: Option<When>,
    /// ORC-12, else OBR-16.
    pub ordered_by: Option<Staff>,
    /// ORC-17.
    pub department: Coded,
    /// TQ1.
    pub timings: Vec<Timing>,
    /// OBR-4: what is examined.
    pub code: Coded,
    /// OBR-7: when it was done.
    pub done_at: Option<When>,
    /// OBR-22: when it was reported.
    pub reported_at: Option<When>,
    /// OBR-25: `F` final, `X` cancelled.
    pub status: String,
    /// OBR-13 and 31: why.
    pub reasons: Vec<String>,
    /// OBX: findings, measurements.
    pub observations: Vec<Observation>,
    /// ZE1: what was done, with its own findings.
    pub details: Vec<Detail>,
    /// IPC: where the pictures are.
    pub images: Vec<Image>,
    /// NTE.
    pub comments: Vec<String>,
    /// The parts.
    pub parts: Vec<Order>,
}

/// One ZE1.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// ZE1-3: what was done.
    pub code: Coded,
    /// Everything else of the segment that says something, with the field's number.
    pub others: Vec<(usize, String)>,
    /// The OBX behind it.
    pub observations: Vec<Observation>,
}

/// One IPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// IPC-1: the accession number.
    pub accession: String,
    /// IPC-2: the requested procedure.
    pub procedure: String,
    /// IPC-3: the study's UID.
    pub study: String,
    /// IPC-5: the modality.
    pub modality: Coded,
}

impl Examination {
    pub(super) fn of(message: &Message) -> Self {
        let mut orders: Vec<Order> = Vec::new();
        let mut begun = false;
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            match segment.name.as_str() {
                "ORC" => {
                    orders.push(Order::of(segment));
                    begun = true;
                }
                // An OBR without an ORC of its own is an order, too.
                "OBR" if !begun => orders.push(Order::default()),
                _ => {}
            }
            let is_part = matches!(
                segment.name.as_str(),
                "TQ1" | "OBR" | "OBX" | "ZE1" | "IPC" | "NTE"
            );
            if is_part && orders.is_empty() {
                orders.push(Order::default());
            }
            if let Some(order) = orders.last_mut() {
                order.add(segment);
            }
            if segment.name == "OBR" {
                begun = false;
            }
        }
        Self {
            orders: joined(orders),
        }
    }

    /// Every order, parents before their parts.
    pub fn all(&self) -> Vec<&Order> {
        let orders = self.orders.iter();
        orders
            .flat_map(|order| std::iter::once(order).chain(&order.parts))
            .collect()
    }

    /// Every finding and measurement.
    pub fn observations(&self) -> impl Iterator<Item = &Observation> {
        self.all().into_iter().flat_map(|order| {
            let details = order.details.iter().flat_map(|detail| &detail.observations);
            order.observations.iter().chain(details)
        })
    }
}

/// Parents with their parts: NW and PA of one number are one order, a CH belongs to the order
/// that it names, else to the last one before it.
fn joined(orders: Vec<Order>) -> Vec<Order> {
    let mut roots: Vec<Order> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for order in orders {
        let is_part =
            order.control == "CH" || (order.control.is_empty() && !order.parent.is_empty());
        let known = |numbers: [&String; 2]| {
            let mut numbers = numbers.into_iter().filter(|number| !number.is_empty());
            numbers.find_map(|number| places.get(number).copied())
        };
        if is_part {
            let place = known([&order.parent, &order.parent]).or(roots.len().checked_sub(1));
            match place.and_then(|place| roots.get_mut(place)) {
                Some(root) => root.parts.push(order),
                None => roots.push(order),
            }
            continue;
        }
        let before = known([&order.number, &order.observation_number]);
        let numbers = [order.number.clone(), order.observation_number.clone()];
        let place = match before.and_then(|place| Some((place, roots.get_mut(place)?))) {
            // PA says again what NW said, and more.
            Some((place, root)) if order.control == "PA" && root.control == "NW" => {
                root.absorb(order);
                place
            }
            _ => {
                roots.push(order);
                roots.len() - 1
            }
        };
        for number in numbers.into_iter().filter(|number| !number.is_empty()) {
            places.entry(number).or_insert(place);
        }
    }
    roots
}

impl Order {
    fn of(segment: &Segment) -> Self {
        Self {
            control: segment.field(1).text(),
            number: segment.field(2).component(1).text(),
            parent: segment.field(8).component(1).subcomponent(1).text(),
            ordered_at: When::of(segment.field(9)),
            ordered_by: Staff::of(segment.field(12)),
            department: Coded::of(segment.field(17)),
            ..Self::default()
        }
    }

    fn add(&mut self, segment: &Segment) {
        match segment.name.as_str() {
            "TQ1" => self.timings.push(Timing::of(segment)),
            "OBR" => self.add_obr(segment),
            "OBX" => {
                let observation = Observation::of(segment);
                match self.details.last_mut() {
                    Some(detail) => detail.observations.push(observation),
                    None => self.observations.push(observation),
                }
            }
            "ZE1" => self.details.push(Detail::of(segment)),
            "IPC" => self.images.push(Image::of(segment)),
            "NTE" => {
                let text = segment.field(3).text();
                self.comments
                    .extend(Some(text).filter(|text| !text.is_empty()));
            }
            _ => {}
        }
    }

    fn add_obr(&mut self, segment: &Segment) {
        self.observation_number = segment.field(2).component(1).text();
        if self.number.is_empty() {
            self.number = self.observation_number.clone();
        }
        if self.parent.is_empty() {
            self.parent = segment.field(29).component(1).subcomponent(1).text();
        }
        if self.ordered_by.is_none() {
            self.ordered_by = Staff::of(segment.field(16));
        }
        self.code = Coded::of(segment.field(4));
        self.done_at = When::of(segment.field(7));
        self.reported_at = When::of(segment.field(22));
        self.status = segment.field(25).text();
        let reasons = Coded::all(segment.field(31));
        let reasons = reasons.iter().map(|reason| reason.text().to_owned());
        let reasons = std::iter::once(segment.field(13).text()).chain(reasons);
        self.reasons
            .extend(reasons.filter(|reason| !reason.is_empty()));
    }

    /// Takes over what the other says beyond this one.
    fn absorb(&mut self, mut other: Self) {
        self.observations.append(&mut other.observations);
        self.details.append(&mut other.details);
        self.comments.append(&mut other.comments);
        self.reasons.extend(
            other
                .reasons
                .into_iter()
                .filter(|reason| !self.reasons.contains(reason))
                .collect::<Vec<_>>(),
        );
        let images = other
            .images
            .into_iter()
            .filter(|image| !self.images.contains(image));
        let images: Vec<Image> = images.collect();
        self.images.extend(images);
        self.done_at = self.done_at.take().or(other.done_at);
        self.reported_at = self.reported_at.take().or(other.reported_at);
        if self.status.is_empty() {
            self.status = other.status;
        }
    }

    /// The order was cancelled, or what was done was taken back.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.control.as_str(), "CA" | "DC" | "OC" | "CR") || self.status == "X"
    }
}

impl Detail {
    fn of(segment: &Segment) -> Self {
        Self {
            code: Coded::of(segment.field(3)),
            others: segment
                .fields()
                .filter(|(number, field)| !matches!(number, 1 | 3) && !field.is_empty())
                .map(|(number, field)| (number, described(number, field)))
                .collect(),
            observations: Vec::new(),
        }
    }
}

/// ZE1-7 is who did it; the others are codes.
fn described(number: usize, field: crate::hl7::Value<'_>) -> String {
    match (number, Staff::of(field)) {
        (7, Some(staff)) => staff.text().to_owned(),
        _ => Coded::of(field).text().to_owned(),
    }
}

impl Image {
    fn of(segment: &Segment) -> Self {
        Self {
            accession: segment.field(1).component(1).text(),
            procedure: segment.field(2).component(1).text(),
            study: segment.field(3).component(1).text(),
            modality: Coded::of(segment.field(5)),
        }
    }
}
