//! Meals: OMD.

use super::coded::Coded;
use super::medication::Timing;
use super::person::Staff;
use super::when::When;
use crate::hl7::{Message, Segment};

/// One order of meals: ORC with what follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meal {
    /// ORC-1.
    pub control: String,
    /// ORC-2.
    pub order: String,
    /// ORC-9.
    pub ordered_at: Option<When>,
    /// ORC-12.
    pub ordered_by: Option<Staff>,
    /// TQ1: from when, how often.
    pub timings: Vec<Timing>,
    /// ODS.
    pub items: Vec<MealItem>,
}

/// One ODS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MealItem {
    /// ODS-1: `D` a diet, `S` a supplement, `P` a preference.
    pub kind: String,
    /// ODS-2: at which meals.
    pub periods: Vec<Coded>,
    /// ODS-3: the diet.
    pub codes: Vec<Coded>,
    /// ODS-4: instructions in words.
    pub text: String,
}

impl Meal {
    /// Every order of a message.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let mut meals: Vec<Self> = Vec::new();
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            let is_part = matches!(segment.name.as_str(), "TQ1" | "ODS" | "ODT");
            if segment.name == "ORC" || (is_part && meals.is_empty()) {
                meals.push(Self::of(segment));
            }
            let Some(meal) = meals.last_mut() else {
                continue;
            };
            match segment.name.as_str() {
                "TQ1" => meal.timings.push(Timing::of(segment)),
                "ODS" => meal.items.push(MealItem::of(segment)),
                "ODT" => meal.items.push(MealItem::of_tray(segment)),
                _ => {}
            }
        }
        meals
    }

    fn of(segment: &Segment) -> Self {
        if segment.name != "ORC" {
            return Self::default();
        }
        Self {
            control: segment.field(1).text(),
            order: segment.field(2).component(1).text(),
            ordered_at: When::of(segment.field(9)),
            ordered_by: Staff::of(segment.field(12)),
            ..Self::default()
        }
    }
}

impl MealItem {
    fn of(segment: &Segment) -> Self {
        Self {
            kind: segment.field(1).text(),
            periods: Coded::all(segment.field(2)),
            codes: Coded::all(segment.field(3)),
            text: segment.field(4).text(),
        }
    }

    /// ODT: how the tray is served.
    fn of_tray(segment: &Segment) -> Self {
        Self {
            kind: "ODT".to_owned(),
            periods: Coded::all(segment.field(2)),
            codes: Coded::all(segment.field(1)),
            text: segment.field(3).text(),
        }
    }
}
