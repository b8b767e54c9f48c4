//! A small drawing of one laboratory series: the server draws it, so that no
//! script is needed.

use maud::{Markup, PreEscaped, html};

use crate::clinical::{Comparator, Flag, Point, Series};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 56.0;
const EDGE: f64 = 5.0;
/// Height of letters.
const LETTERS: f64 = 9.0;
/// Points that are drawn, at most: the newest.
const POINTS_MAX: usize = 60;

/// The drawing; nothing for fewer than two numbers.
pub(super) fn trend(series: &Series<'_>, label: &str) -> Markup {
    let lines = series.lines();
    let all: Vec<&Point<'_>> = lines.iter().flatten().copied().collect();
    let drawn: Vec<&Point<'_>> = all.iter().rev().take(POINTS_MAX).rev().copied().collect();
    let (Some(scale), true) = (Scale::of(&drawn), drawn.len() >= 2) else {
        return html! {};
    };
    let first = drawn.first().map(|point| point.at);
    let mut shapes = String::new();
    if let Some((low, high)) = scale.range {
        let (top, bottom) = (scale.y(high), scale.y(low));
        shapes += &format!(
            "<rect class='range' x='0' y='{top:.1}' width='{WIDTH}' height='{:.1}'/>",
            (bottom - top).max(0.5)
        );
    }
    for line in &lines {
        // A result that is only known to lie beyond a number ends the line.
        for part in line.split(|point| beyond(point).is_some()) {
            let points = part.iter().filter(|point| Some(point.at) >= first);
            let points: Vec<String> = points
                .filter_map(|point| {
                    let (x, y) = (scale.x(point), scale.y(value(point)?));
                    Some(format!("{x:.1},{y:.1}"))
                })
                .collect();
            if points.len() > 1 {
                shapes += &format!("<polyline class='path' points='{}'/>", points.join(" "));
            }
        }
    }
    shapes.extend(drawn.iter().filter_map(|point| mark(point, &scale)));
    html! {
        svg.trend role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
            // Numbers and fixed words only: nothing of a record is in it.
            (PreEscaped(shapes))
        }
    }
}

/// The sign of a result that is only known to lie below or above its number.
fn beyond(point: &Point<'_>) -> Option<&'static str> {
    match point.value?.0 {
        Comparator::Equal => None,
        Comparator::Less => Some("&lt;"),
        Comparator::LessOrEqual => Some("≤"),
        Comparator::Greater => Some("&gt;"),
        Comparator::GreaterOrEqual => Some("≥"),
    }
}

/// A point: a disc; out of the range another shape, not only another colour; a
/// result beyond a number a triangle that points there, with what it says.
fn mark(point: &Point<'_>, scale: &Scale) -> Option<String> {
    let number = value(point)?;
    let (x, y) = (scale.x(point), scale.y(number));
    let flag = point.observation.flag().map(|flagged| flagged.flag);
    let is_out = flag.is_some_and(|flag| flag != Flag::Normal);
    let Some(sign) = beyond(point) else {
        return Some(match is_out {
            true => format!(
                "<rect class='out' x='{:.1}' y='{:.1}' width='6' height='6'/>",
                x - 3.0,
                y - 3.0
            ),
            false => format!("<circle class='dot' cx='{x:.1}' cy='{y:.1}' r='2.4'/>"),
        });
    };
    let tip = match sign {
        "&lt;" | "≤" => 4.0,
        _ => -4.0,
    };
    let class = if is_out { "out" } else { "beyond" };
    let (anchor, beside) = match x > WIDTH / 2.0 {
        true => ("end", x - 5.0),
        false => ("start", x + 5.0),
    };
    Some(format!(
        "<path class='{class}' d='M{:.1} {:.1}h8l-4 {:.1}z'/>\
         <text x='{beside:.1}' y='{:.1}' text-anchor='{anchor}'>{sign}{number}</text>",
        x - 4.0,
        y - tip / 2.0,
        tip,
        (y + 3.0).clamp(LETTERS, HEIGHT - 1.0),
    ))
}

fn value(point: &Point<'_>) -> Option<f64> {
    point
        .value
        .map(|(_, number)| number)
        .filter(|number| number.is_finite())
}

struct Scale {
    from: f64,
    days: f64,
    low: f64,
    span: f64,
    range: Option<(f64, f64)>,
}

impl Scale {
    fn of(points: &[&Point<'_>]) -> Option<Scale> {
        let (first, last) = (points.first()?, points.last()?);
        let (from, to) = (hours(first), hours(last));
        let numbers: Vec<f64> = points.iter().filter_map(|point| value(point)).collect();
        let mut low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        let margin = ((high - low) * 0.15).max(high.abs() * 0.02).max(1e-9);
        (low, high) = (low - margin, high + margin);
        let range = match last.observation.range.bounds() {
            (None, None) => None,
            (one, other) => {
                let begin = one.unwrap_or(low).clamp(low, high);
                let end = other.unwrap_or(high).clamp(low, high);
                Some((begin, end))
            }
        };
        Some(Scale {
            from,
            days: (to - from).max(1.0),
            low,
            span: high - low,
            range,
        })
    }

    fn x(&self, point: &Point<'_>) -> f64 {
        EDGE + (hours(point) - self.from) / self.days * (WIDTH - 2.0 * EDGE)
    }

    fn y(&self, number: f64) -> f64 {
        HEIGHT - EDGE - (number - self.low) / self.span * (HEIGHT - 2.0 * EDGE)
    }
}

/// Hours since some day: only differences count.
fn hours(point: &Point<'_>) -> f64 {
    let date = point.at.date();
    let days = f64::from(i32::from(date.year()) * 366 + i32::from(date.day_of_year()));
    days * 24.0 + f64::from(point.at.hour())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clinical::{Place, Record, series};

    /// The drawing of a test's results, one a day.
    fn drawn(values: &[&str]) -> String {
        let records: Vec<Record> = (1..)
            .zip(values)
            .map(|(day, value)| {
                let text = format!(
                    "MSH|^~\\&|||||2026030{day}||OUL^R22|1|P|2.5\rPID|1||0000001\r\
                     SPM|1|||023^血清^JC10\rOBR|1|1||E001^生化学^L\r\
                     OBX|1|ST|5C070000002306201^CRP^JC10||{value}|mg/dL|0-3.0||||F|||2026030{day}\r"
                );
                let path = format!(
                    "2026030{day}/OML-11/0000001_2026030{day}_OML-11_{day:015}_2026030{day}120000000_01_1"
                );
                let place = Place::new("1", "STD01", b"000/000/0000001", path.as_bytes());
                Record::read(place, text.as_bytes())
            })
            .collect();
        let all = series(&records);
        assert_eq!(all.len(), 1);
        trend(&all[0], "CRP").into_string()
    }

    /// A result that is only known to lie below a number is no point of a line,
    /// has a shape of its own, and says its sign.
    #[test]
    fn a_result_beyond_a_number_is_not_drawn_as_the_number() {
        let plain = drawn(&["1.0", "0.5", "2.0"]);
        assert_eq!(plain.matches("<circle").count(), 3, "{plain}");
        assert_eq!(plain.matches("<polyline").count(), 1, "{plain}");
        assert!(!plain.contains("<text"), "{plain}");
        let below = drawn(&["1.0", "2.0", "<0.5", "1.5", "1.0"]);
        assert_eq!(below.matches("<circle").count(), 4, "{below}");
        assert_eq!(below.matches("class='beyond'").count(), 1, "{below}");
        assert_eq!(below.matches("<polyline").count(), 2, "the line goes on");
        assert!(below.contains(">&lt;0.5</text>"), "{below}");
        let above = drawn(&["1.0", "≧10", "2.0"]);
        assert!(above.contains(">≥10</text>"), "{above}");
        assert!(above.contains("class='out'"), "it is too high: {above}");
        assert!(!above.contains("<polyline"), "{above}");
    }
}
