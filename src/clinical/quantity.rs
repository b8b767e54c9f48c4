//! Quantities: an amount and its unit, kept as they are written.

use super::coded::Coded;
use crate::hl7::Value;

/// An amount with its unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quantity {
    /// The amount as it is written: a dose is never rounded or rewritten.
    pub amount: String,
    /// The unit.
    pub unit: Coded,
}

impl Quantity {
    /// From a field for the amount and one for the unit; `None` where both are empty.
    pub(super) fn of(amount: Value<'_>, unit: Value<'_>) -> Option<Self> {
        Self {
            amount: amount.text(),
            unit: Coded::of(unit),
        }
        .or_none()
    }

    /// From HL7's CQ: amount, then a unit cut by subcomponents (`3^TAB&錠&MR9P`).
    pub(super) fn of_cq(value: Value<'_>) -> Option<Self> {
        Self {
            amount: value.component(1).text(),
            unit: Coded::of_component(value.component(2)),
        }
        .or_none()
    }

    fn or_none(self) -> Option<Self> {
        (!self.amount.is_empty() || !self.unit.is_empty()).then_some(self)
    }

    /// For people: `3 錠`.
    pub fn text(&self) -> String {
        format!("{} {}", self.amount, self.unit.text())
            .trim()
            .to_owned()
    }
}
