//! Delimiters: the five characters that cut a segment, as MSH-1 and MSH-2 name them.

/// The characters that cut a segment into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields.
    pub field: char,
    /// Between components.
    pub component: char,
    /// Between repetitions.
    pub repetition: char,
    /// Around escape sequences.
    pub escape: char,
    /// Between subcomponents.
    pub subcomponent: char,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self {
            field: '|',
            component: '^',
            repetition: '~',
            escape: '\\',
            subcomponent: '&',
        }
    }
}

impl Delimiters {
    /// Those that the text of an MSH segment names; `None` where it names none that could be
    /// told apart from text, or one twice.
    pub(super) fn of(header: &str) -> Option<Self> {
        let mut letters = header.strip_prefix("MSH")?.chars();
        let field = letters.next()?;
        let mut next = || letters.next().filter(|&letter| letter != field);
        let found = Self {
            field,
            component: next()?,
            repetition: next()?,
            escape: next()?,
            subcomponent: next()?,
        };
        let all = found.all();
        let usable = all.iter().enumerate().all(|(place, letter)| {
            letter.is_ascii_punctuation()
                && *letter != '"'
                && !all.iter().take(place).any(|other| other == letter)
        });
        usable.then_some(found)
    }

    fn all(self) -> [char; 5] {
        [
            self.field,
            self.component,
            self.repetition,
            self.escape,
            self.subcomponent,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_its_delimiters() {
        assert_eq!(Delimiters::of("MSH|^~\\&|HIS"), Some(Delimiters::default()));
        assert_eq!(
            Delimiters::of("MSH|^~\\&#|HIS"),
            Some(Delimiters::default())
        );
        let own = Delimiters::of("MSH$%*!@$HIS").unwrap();
        assert_eq!(own.all(), ['$', '%', '*', '!', '@']);
    }

    #[test]
    fn unusable_ones_are_none() {
        for header in [
            "MSH",
            "MSH|",
            "MSH|^~\\|x",
            "MSH|^^\\&|",
            "MSHabcde",
            "MSH|^~\\\"|",
        ] {
            assert_eq!(Delimiters::of(header), None, "{header}");
        }
    }
}
