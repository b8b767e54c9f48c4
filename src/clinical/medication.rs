//! Medication ordered: prescriptions (OMP-01) and injections (OMP-02).
//!
//! What was given is another type, [`super::Administration`].

use super::coded::Coded;
use super::person::Staff;
use super::quantity::Quantity;
use super::when::When;
use crate::hl7::{Message, Segment, Value};
use crate::language::Language;

/// One RXE: a drug, or an infusion with its ingredients, as it was ordered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MedicationOrder {
    /// ORC-4: orders of one group are taken together (Rp).
    pub group: String,
    /// ORC-1: `NW` new, `XO` changed, `CA`, `DC` or `OC` cancelled.
    pub control: String,
    /// ORC-2.
    pub order: String,
    /// ORC-9.
    pub ordered_at: Option<When>,
    /// ORC-12.
    pub ordered_by: Option<Staff>,
    /// ORC-17.
    pub department: Coded,
    /// RXE-2.
    pub drug: Coded,
    /// RXE-3 and 5: the amount at one time.
    pub dose: Option<Quantity>,
    /// RXE-4: the highest amount at one time, where a range is given.
    pub dose_max: String,
    /// RXE-6: the form.
    pub form: Coded,
    /// RXE-7: instructions to the one who administers.
    pub instructions: Vec<Coded>,
    /// RXE-10 and 11: the amount that is handed out.
    pub dispensed: Option<Quantity>,
    /// RXE-15: the prescription's number.
    pub prescription: String,
    /// RXE-19: the amount in a day.
    pub daily: Option<Quantity>,
    /// RXE-21: inside or outside of the hospital, and other kinds.
    pub kinds: Vec<Coded>,
    /// RXE-22: the time unit of the rate, such as `H1`.
    pub per: String,
    /// RXE-23 and 24: the rate.
    pub rate: Option<Quantity>,
    /// TQ1: when and how long.
    pub timings: Vec<Timing>,
    /// RXR.
    pub routes: Vec<Route>,
    /// RXC: what an infusion consists of.
    pub ingredients: Vec<Ingredient>,
    /// NTE.
    pub comments: Vec<String>,
}

/// One TQ1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timing {
    /// TQ1-3: the usage, such as three times a day after meals.
    pub usages: Vec<Coded>,
    /// TQ1-6: how long, mostly in days (`5^d`).
    pub duration: Option<Quantity>,
    /// TQ1-7.
    pub from: Option<When>,
    /// TQ1-8.
    pub to: Option<When>,
    /// TQ1-9: priority.
    pub priority: Coded,
    /// TQ1-10 and 11: conditions and instructions in words.
    pub text: String,
}

/// One RXR.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// RXR-1: by mouth, into a vein.
    pub route: Coded,
    /// RXR-2: where at the body.
    pub site: Coded,
    /// RXR-3: by which device.
    pub device: Coded,
    /// RXR-4: how.
    pub method: Coded,
}

/// One RXC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    /// RXC-1.
    pub role: IngredientRole,
    /// RXC-2.
    pub drug: Coded,
    /// RXC-3 and 4.
    pub amount: Option<Quantity>,
}

/// RXC-1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngredientRole {
    /// `B`: the base, into which the others go.
    Base,
    /// `A`: an additive.
    Additive,
    /// Something else, as it is written.
    Odd(String),
}

impl MedicationOrder {
    /// Every RXE of a message with what belongs to it.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let mut orders: Vec<Self> = Vec::new();
        let mut head = Self::default();
        // Timings that stand before the RXE that they belong to.
        let mut early: Vec<Timing> = Vec::new();
        let mut open = false;
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            match (segment.name.as_str(), orders.last_mut().filter(|_| open)) {
                ("ORC", _) => {
                    head = Self::head(segment);
                    early.clear();
                    open = false;
                }
                ("RXE", _) => {
                    let mut order = head.clone().with(segment);
                    order.timings.append(&mut early);
                    orders.push(order);
                    open = true;
                }
                ("TQ1", None) => early.push(Timing::of(segment)),
                ("TQ1", Some(order)) => order.timings.push(Timing::of(segment)),
                ("RXR", Some(order)) => order.routes.push(Route::of(segment)),
                ("RXC", Some(order)) => order.ingredients.push(Ingredient::of(segment)),
                ("NTE", Some(order)) => {
                    let text = segment.field(3).text();
                    order
                        .comments
                        .extend(Some(text).filter(|text| !text.is_empty()));
                }
                _ => {}
            }
        }
        orders
    }

    fn head(segment: &Segment) -> Self {
        Self {
            group: segment.field(4).component(1).text(),
            control: segment.field(1).text(),
            order: segment.field(2).component(1).text(),
            ordered_at: When::of(segment.field(9)),
            ordered_by: Staff::of(segment.field(12)),
            department: Coded::of(segment.field(17)),
            ..Self::default()
        }
    }

    fn with(self, segment: &Segment) -> Self {
        // RXE-1 is a timing of older versions: kept where there is no TQ1 it would be lost else.
        Self {
            drug: Coded::of(segment.field(2)),
            dose: Quantity::of(segment.field(3), segment.field(5)),
            dose_max: segment.field(4).text(),
            form: Coded::of(segment.field(6)),
            instructions: Coded::all(segment.field(7)),
            dispensed: Quantity::of(segment.field(10), segment.field(11)),
            prescription: segment.field(15).text(),
            daily: Quantity::of_cq(segment.field(19)),
            kinds: Coded::all(segment.field(21)),
            per: segment.field(22).text(),
            rate: Quantity::of(segment.field(23), segment.field(24)),
            ..self
        }
    }

    /// The order was cancelled or ended by its own words.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self.control.as_str(),
            "CA" | "DC" | "OC" | "CR" | "DR" | "OD"
        )
    }

    /// The first usage that has words.
    pub fn usage(&self) -> &str {
        let usages = self.timings.iter().flat_map(|timing| &timing.usages);
        usages
            .map(Coded::text)
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}

impl Timing {
    pub(super) fn of(segment: &Segment) -> Self {
        let texts = [10, 11].map(|number| segment.field(number).text());
        Self {
            usages: segment
                .field(3)
                .repetitions()
                .map(usage)
                .filter(|usage| !usage.is_empty())
                .collect(),
            duration: Quantity::of_cq(segment.field(6)),
            from: When::of(segment.field(7)),
            to: When::of(segment.field(8)),
            priority: Coded::of(segment.field(9)),
            text: texts.join(" ").trim().to_owned(),
        }
    }

    /// Whole days that it lasts; `None` where that is not said in days or weeks.
    pub fn days(&self) -> Option<u32> {
        let duration = self.duration.as_ref()?;
        let count: u32 = duration.amount.parse().ok()?;
        let codes = duration.unit.codes.first()?;
        let unit = if codes.code.is_empty() {
            &codes.text
        } else {
            &codes.code
        };
        match unit.to_ascii_lowercase().as_str() {
            "d" | "day" | "days" | "日" | "日分" => Some(count),
            "w" | "wk" | "週" => count.checked_mul(7),
            _ => None,
        }
    }
}

/// TQ1-3 is HL7's RPT, whose first component is the code, cut by subcomponents.
fn usage(value: Value<'_>) -> Coded {
    Coded::of_component(value.component(1))
}

impl Route {
    pub(super) fn of(segment: &Segment) -> Self {
        Self {
            route: Coded::of(segment.field(1)),
            site: Coded::of(segment.field(2)),
            device: Coded::of(segment.field(3)),
            method: Coded::of(segment.field(4)),
        }
    }

    /// For people: the parts that there are.
    pub fn text(&self) -> String {
        let parts = [&self.route, &self.site, &self.device, &self.method];
        let texts: Vec<&str> = parts
            .iter()
            .map(|part| part.text())
            .filter(|text| !text.is_empty())
            .collect();
        texts.join(" / ")
    }
}

impl Ingredient {
    fn of(segment: &Segment) -> Self {
        Self {
            role: match segment.field(1).text().as_str() {
                "B" => IngredientRole::Base,
                "A" => IngredientRole::Additive,
                other => IngredientRole::Odd(other.to_owned()),
            },
            drug: Coded::of(segment.field(2)),
            amount: Quantity::of(segment.field(3), segment.field(4)),
        }
    }
}

impl IngredientRole {
    /// For people.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Base => language.pick("基剤", "base"),
            Self::Additive => language.pick("添加", "additive"),
            Self::Odd(text) => text,
        }
    }
}
