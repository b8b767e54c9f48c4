//! Drugs, usages and routes: tables only.
//!
//! HOT9 codes have the form of real ones (nine digits); units are MR9P, usages JAMISDP01.

/// A drug that is taken or applied.
pub(super) struct Drug {
    /// HOT9 code.
    pub(super) code: &'static str,
    /// Name as it is dispensed.
    pub(super) name: &'static str,
    /// Unit: MR9P code.
    pub(super) unit: &'static str,
    /// Unit: text.
    pub(super) unit_name: &'static str,
    /// Amount at one time, in tenths of the unit.
    pub(super) dose_tenths: u32,
    /// Index into [`USAGES`].
    pub(super) usage: usize,
}

const fn tablet(code: &'static str, name: &'static str, count: u32, usage: usize) -> Drug {
    Drug {
        code,
        name,
        unit: "TAB",
        unit_name: "錠",
        dose_tenths: count * 10,
        usage,
    }
}

const fn other(
    code: &'static str,
    name: &'static str,
    unit: &'static str,
    unit_name: &'static str,
    dose_tenths: u32,
    usage: usize,
) -> Drug {
    Drug {
        code,
        name,
        unit,
        unit_name,
        dose_tenths,
        usage,
    }
}

/// Drugs by mouth and on the skin.
pub(super) const ORAL: &[Drug] = &[
    tablet("111631801", "アムロジピンＯＤ錠５ｍｇ", 1, 0),
    tablet("115809501", "オルメサルタン錠２０ｍｇ", 1, 0),
    tablet("103377501", "ノルバスク錠５ｍｇ", 1, 0),
    tablet("116222901", "テルミサルタン錠４０ｍｇ", 1, 0),
    tablet("113894101", "ロスバスタチン錠２．５ｍｇ", 1, 3),
    tablet("115336601", "アトルバスタチン錠１０ｍｇ", 1, 3),
    tablet("111975601", "メトホルミン塩酸塩錠２５０ｍｇ", 1, 2),
    tablet("119439001", "シタグリプチン錠５０ｍｇ", 1, 0),
    tablet("122886301", "エンパグリフロジン錠１０ｍｇ", 1, 0),
    tablet("101316701", "バイアスピリン錠１００ｍｇ", 1, 0),
    tablet("117169603", "クロピドグレル錠７５ｍｇ", 1, 0),
    tablet("121312801", "エドキサバン錠３０ｍｇ", 1, 0),
    tablet("102145501", "ワーファリン錠１ｍｇ", 2, 0),
    tablet("104831101", "ラシックス錠２０ｍｇ", 1, 0),
    tablet("111340901", "カルベジロール錠２．５ｍｇ", 1, 1),
    tablet("124007601", "ボノプラザン錠２０ｍｇ", 1, 0),
    tablet("115104101", "ランソプラゾールＯＤ錠１５ｍｇ", 1, 0),
    tablet("106261801", "ムコスタ錠１００ｍｇ", 1, 2),
    tablet("102698601", "酸化マグネシウム錠３３０ｍｇ", 1, 2),
    tablet("104380401", "マグミット錠３３０ｍｇ", 2, 1),
    tablet("100996801", "ロキソニン錠６０ｍｇ", 1, 2),
    tablet("119870101", "カロナール錠２００", 2, 5),
    tablet("108665201", "ダーゼン錠（５ｍｇ）", 1, 2),
    tablet("110626901", "パンスポリンＴ錠（１００ｍｇ）", 2, 2),
    tablet("103835401", "クラリス錠２００", 1, 1),
    tablet("111229701", "レボフロキサシン錠５００ｍｇ", 1, 0),
    tablet("105271403", "プレドニン錠５ｍｇ", 2, 0),
    tablet("101022301", "チラーヂンＳ錠５０μｇ", 1, 4),
    tablet("100555501", "セルシン錠２ｍｇ", 1, 3),
    tablet("114209201", "ゾルピデム酒石酸塩錠５ｍｇ", 1, 3),
    tablet("117654701", "ドネペジル塩酸塩ＯＤ錠５ｍｇ", 1, 0),
    tablet("120112001", "モンテルカスト錠１０ｍｇ", 1, 3),
    tablet("116888001", "フェブキソスタット錠１０ｍｇ", 1, 0),
    tablet("118033701", "アレンドロン酸錠３５ｍｇ", 1, 4),
    other(
        "100607002",
        "アレビアチン散１０％",
        "MG",
        "ミリグラム",
        500,
        1,
    ),
    other("105902101", "ツムラ大建中湯エキス顆粒", "PCK", "包", 10, 6),
    other(
        "105910602",
        "ツムラ芍薬甘草湯エキス顆粒",
        "PCK",
        "包",
        10,
        6,
    ),
    other("103500701", "ビオフェルミン配合散", "GM", "グラム", 10, 2),
    other(
        "112458901",
        "メプチンエアー１０μｇ吸入１００回",
        "KIT",
        "キット",
        10,
        5,
    ),
    other("107746501", "モーラステープ２０ｍｇ", "SHT", "枚", 10, 7),
    other(
        "106702701",
        "ヒルドイドソフト軟膏０．３％",
        "GM",
        "グラム",
        250,
        7,
    ),
    other(
        "109114001",
        "リンデロン－ＶＧ軟膏０．１２％",
        "GM",
        "グラム",
        50,
        7,
    ),
    other(
        "110883301",
        "ムコダインシロップ５％",
        "ML",
        "ミリリットル",
        40,
        2,
    ),
];

/// Usages: JAMISDP01 code, text, times a day.
pub(super) const USAGES: &[(&str, &str, u32)] = &[
    ("1011000400000000", "内服・経口・１日１回朝食後", 1),
    ("1012040400000000", "内服・経口・１日２回朝夕食後", 2),
    ("1013044400000000", "内服・経口・１日３回朝昼夕食後", 3),
    ("1011000090000000", "内服・経口・１日１回就寝前", 1),
    ("1011100000000000", "内服・経口・１日１回起床時", 1),
    ("1050110000000000", "内服・経口・疼痛時または発熱時", 1),
    ("1013022200000000", "内服・経口・１日３回朝昼夕食前", 3),
    ("2B72000000000000", "外用・塗布または貼付・１日２回", 2),
];

/// Comments on a prescription's line.
pub(super) const REMARKS: &[&str] = &[
    "粉砕して投与",
    "一包化",
    "残薬調整",
    "後発品変更不可",
    "食事がとれない時は中止",
    "血圧手帳を確認",
    "自己調節可",
];

/// An infusion: base fluid, additive, rate.
pub(super) struct Infusion {
    /// HOT9 code, name, MR9P unit, unit text of the base fluid.
    pub(super) base: (&'static str, &'static str, &'static str, &'static str),
    /// The same of the additive.
    pub(super) additive: (&'static str, &'static str, &'static str, &'static str),
    /// Volume in millilitres.
    pub(super) volume_ml: u32,
    /// Hours that it runs.
    pub(super) hours: u32,
}

const fn infusion(
    base: (&'static str, &'static str),
    additive: (&'static str, &'static str),
    volume_ml: u32,
    hours: u32,
) -> Infusion {
    Infusion {
        base: (base.0, base.1, "HON", "本"),
        additive: (additive.0, additive.1, "AMP", "アンプル"),
        volume_ml,
        hours,
    }
}

/// Infusions and injections.
pub(super) const INFUSIONS: &[Infusion] = &[
    infusion(
        ("107329001", "ソリタ－Ｔ３号輸液５００ｍＬ"),
        ("102559301", "アドナ注（静脈用）５０ｍｇ"),
        510,
        5,
    ),
    infusion(
        ("107372601", "ラクテック注５００ｍＬ"),
        ("101234001", "プリンペラン注射液１０ｍｇ"),
        502,
        4,
    ),
    infusion(
        ("108125701", "生食注１００ｍＬ"),
        ("111902201", "セフトリアキソンナトリウム静注用１ｇ"),
        100,
        1,
    ),
    infusion(
        ("108125702", "大塚生食注５０ｍＬ"),
        ("110455801", "ファモチジン静注液２０ｍｇ"),
        52,
        1,
    ),
    infusion(
        ("107355901", "ビーフリード輸液５００ｍＬ"),
        ("103771201", "ビタメジン静注用"),
        505,
        6,
    ),
    infusion(
        ("108125703", "テルモ生食１００ｍＬ"),
        ("112003401", "スルバシリン静注用１．５ｇ"),
        100,
        1,
    ),
    infusion(
        ("107399301", "フィジオ３５輸液５００ｍＬ"),
        ("104115501", "ネオフィリン注２５０ｍｇ"),
        510,
        8,
    ),
    infusion(
        ("107310801", "５％ブドウ糖注射液２５０ｍＬ"),
        ("105508601", "ニカルジピン塩酸塩注射液１０ｍｇ"),
        260,
        10,
    ),
    infusion(
        ("107329002", "ソリタ－Ｔ１号輸液２００ｍＬ"),
        ("106632101", "ソル・メドロール静注用１２５ｍｇ"),
        202,
        2,
    ),
    infusion(
        ("107341501", "エルネオパＮＦ２号輸液１０００ｍＬ"),
        ("103020901", "ヘパリンＮａ注５千単位"),
        1005,
        24,
    ),
];
