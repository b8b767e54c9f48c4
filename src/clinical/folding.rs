//! Folding: what makes two writings of one name the same for a search.

use unicode_normalization::UnicodeNormalization;

/// Between a katakana and its hiragana.
const KANA_STEP: u32 = 0x60;

/// The form by which texts are searched and compared: NFKC, katakana as hiragana, detached ゛゜
/// joined to their letter, one sign for all dashes and wave dashes, lower case, no spaces.
pub fn fold(text: &str) -> String {
    // Detached marks become combining ones, which composition then joins to the letter before
    // them; compatibility forms would put a space between.
    let attached = text.chars().map(|letter| match letter {
        '\u{309B}' | '\u{FF9E}' => '\u{3099}',
        '\u{309C}' | '\u{FF9F}' => '\u{309A}',
        letter => letter,
    });
    let composed: String = attached.nfkc().collect();
    let lower = composed.chars().flat_map(char::to_lowercase);
    lower
        .filter(|letter| !letter.is_whitespace() && !is_invisible(*letter))
        .map(|letter| {
            if is_dash(letter) {
                '-'
            } else {
                hiragana(letter)
            }
        })
        .nfc()
        .collect()
}

/// The form by which ids are compared: as [`fold`], without zeros at the beginning. An id of
/// zeros alone is one zero.
pub fn fold_id(id: &str) -> String {
    let folded = fold(id);
    let bare = folded.trim_start_matches('0');
    match (bare.is_empty(), folded.is_empty()) {
        (true, false) => "0".to_owned(),
        _ => bare.to_owned(),
    }
}

fn hiragana(letter: char) -> char {
    match letter {
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => {
            char::from_u32(letter as u32 - KANA_STEP).unwrap_or(letter)
        }
        letter => letter,
    }
}

/// The families of dashes, wave dashes and the long-vowel mark, which keyboards mix.
fn is_dash(letter: char) -> bool {
    matches!(
        letter,
        '-' | '\u{00AD}' | '\u{02D7}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2053}'
                | '\u{2212}'
                | '\u{2500}'
                | '\u{2501}'
                | '\u{30FC}'
                | '~'
                | '\u{223C}'
                | '\u{223E}'
                | '\u{301C}'
                | '\u{3030}'
                | '\u{FE58}'
                | '\u{FE63}'
                | '\u{FF0D}'
                | '\u{FF5E}'
                | '\u{FF70}'
    )
}

/// Marks without a shape: joiners, direction marks, variation selectors of kanji.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{E0100}'..='\u{E01EF}'
    ) || letter.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writings_of_one_name_are_the_same() {
        for group in [
            &[
                "カンジャ タロウ",
                "かんじゃ　たろう",
                "ｶﾝｼﾞｬ ﾀﾛｳ",
                "カンシ゛ャ タロウ",
                "カンシ\u{3099}ャタロウ",
            ][..],
            &["パン", "ハ゜ン", "ﾊﾟﾝ", "ぱん"],
            &["ヴィトン", "ｳﾞｨﾄﾝ", "う゛ぃとん"],
            &["サーバー", "さーばー", "ｻｰﾊﾞｰ", "サ－バ－", "サ—バ—"],
            &["１－２－３", "1-2-3", "1−2−3", "1‐2‐3"],
            &["A〜B", "a～b", "Ａ~Ｂ"],
            &["Smith", "ＳＭＩＴＨ", "smith"],
            &["㈱", "(株)"],
        ] {
            for name in group {
                assert_eq!(fold(name), fold(group[0]), "{name}");
            }
        }
        assert_ne!(fold("はん"), fold("ぱん"));
        assert_ne!(fold("患者"), fold("感謝"));
    }

    #[test]
    fn the_kanji_for_one_is_no_dash() {
        assert_ne!(fold("一郎"), fold("-郎"));
        assert_eq!(fold("一郎"), "一郎");
    }

    #[test]
    fn ids_with_and_without_zeros() {
        assert_eq!(fold_id("0001000052"), fold_id("1000052"));
        assert_eq!(fold_id("００１"), "1");
        assert_eq!(fold_id("000"), "0");
        assert_eq!(fold_id(""), "");
        assert_ne!(fold_id("10"), fold_id("1"));
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,16}|[ァ-ヶぁ-ん゛゜ｦ-ﾟ-～ー]{0,12}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
