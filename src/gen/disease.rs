//! Diseases, allergens and meals: tables only.

/// A disease of the problem list.
pub(super) struct Disease {
    /// MDCDX2 management number (eight digits).
    pub(super) code: &'static str,
    /// MDCDX2 name.
    pub(super) name: &'static str,
    /// ICD-10, without the dot.
    pub(super) icd10: &'static str,
    /// What it is treated with: indices into `pharmacy::ORAL`.
    pub(super) drugs: &'static [usize],
    /// Laboratory tests that it moves: short name, change in widths of the reference range.
    pub(super) moves: &'static [(&'static str, f64)],
}

const fn disease(
    code: &'static str,
    name: &'static str,
    icd10: &'static str,
    drugs: &'static [usize],
    moves: &'static [(&'static str, f64)],
) -> Disease {
    Disease {
        code,
        name,
        icd10,
        drugs,
        moves,
    }
}

/// Those of [`DISEASES`] that children have.
pub(super) const OF_CHILDREN: &[usize] = &[12, 15, 30, 32, 33];

/// Diseases as they are common in a hospital's problem lists.
pub(super) const DISEASES: &[Disease] = &[
    disease("20061632", "高血圧症", "I10", &[0, 1], &[]),
    disease(
        "20085210",
        "２型糖尿病",
        "E119",
        &[6, 7],
        &[("GLU", 1.2), ("HbA1c", 1.1)],
    ),
    disease(
        "20061011",
        "脂質異常症",
        "E785",
        &[4],
        &[("LDL-C", 0.7), ("TG", 0.8)],
    ),
    disease("20054174", "胃炎", "K297", &[17, 16], &[]),
    disease("20054211", "胃潰瘍", "K259", &[15], &[("Hb", -0.8)]),
    disease("20069945", "逆流性食道炎", "K210", &[15], &[]),
    disease(
        "20055104",
        "慢性心不全",
        "I509",
        &[13, 14],
        &[("BNP", 8.0), ("UN", 0.6)],
    ),
    disease(
        "20055420",
        "心房細動",
        "I489",
        &[11, 14],
        &[("PT-INR", 0.4)],
    ),
    disease("20060137", "狭心症", "I209", &[9, 5], &[]),
    disease("20067308", "脳梗塞後遺症", "I693", &[10], &[]),
    disease(
        "20068711",
        "慢性腎臓病",
        "N189",
        &[32],
        &[("CRE", 2.2), ("UN", 1.4), ("K", 0.3)],
    ),
    disease("20062204", "高尿酸血症", "E790", &[32], &[("UA", 0.9)]),
    disease("20058890", "気管支喘息", "J459", &[31, 38], &[("WBC", 0.3)]),
    disease("20068002", "慢性閉塞性肺疾患", "J449", &[38], &[]),
    disease(
        "20066420",
        "肺炎",
        "J189",
        &[25],
        &[("CRP", 25.0), ("WBC", 1.1)],
    ),
    disease(
        "20056733",
        "急性上気道炎",
        "J069",
        &[21, 42],
        &[("CRP", 4.0)],
    ),
    disease("20071180", "変形性膝関節症", "M179", &[20, 39], &[]),
    disease("20071322", "腰部脊柱管狭窄症", "M4806", &[20, 36], &[]),
    disease("20072215", "骨粗鬆症", "M8199", &[33], &[("Ca", -0.3)]),
    disease(
        "20064515",
        "甲状腺機能低下症",
        "E039",
        &[27],
        &[("TSH", 1.6)],
    ),
    disease("20059008", "アルツハイマー型認知症", "G309", &[30], &[]),
    disease("20066107", "不眠症", "G470", &[29], &[]),
    disease("20065530", "便秘症", "K590", &[18, 35], &[]),
    disease("20055933", "関節リウマチ", "M0690", &[26], &[("CRP", 6.0)]),
    disease(
        "20061905",
        "鉄欠乏性貧血",
        "D509",
        &[],
        &[("Hb", -1.6), ("Ht", -1.2), ("Fe", -0.7)],
    ),
    disease(
        "20054018",
        "胃癌",
        "C169",
        &[15],
        &[("CEA", 2.5), ("Hb", -1.0)],
    ),
    disease("20067014", "肺癌", "C349", &[], &[("CEA", 3.5)]),
    disease(
        "20064019",
        "大腸癌",
        "C189",
        &[18],
        &[("CEA", 4.0), ("Hb", -0.7)],
    ),
    disease(
        "20068325",
        "Ｂ型慢性肝炎",
        "B181",
        &[],
        &[("AST", 1.6), ("ALT", 2.2)],
    ),
    disease(
        "20058013",
        "肝硬変症",
        "K746",
        &[13],
        &[("ALB", -1.1), ("T-Bil", 1.8), ("PLT", -0.8), ("AST", 1.3)],
    ),
    disease("20070108", "皮脂欠乏性湿疹", "L853", &[40, 41], &[]),
    disease(
        "20071717",
        "大腿骨頸部骨折",
        "S7200",
        &[20, 33],
        &[("Hb", -0.6)],
    ),
    disease(
        "20057105",
        "症候性てんかん",
        "G408",
        &[34],
        &[("γ-GT", 0.8)],
    ),
    disease(
        "20060522",
        "急性腸炎",
        "A099",
        &[37],
        &[("CRP", 8.0), ("K", -0.4)],
    ),
];

/// Modifiers of a problem: code, text (MDCDX2 modifiers).
pub(super) const MODIFIERS: &[(&str, &str)] = &[
    ("1001", "急性"),
    ("1002", "慢性"),
    ("2056", "右"),
    ("2057", "左"),
    ("8002", "の疑い"),
    ("4012", "再発性"),
];

/// Allergens: class (HL70127), class text, code, name, system, severity (HL70128), reaction.
pub(super) const ALLERGENS: &[(&str, &str, &str, &str, &str, &str, &str)] = &[
    (
        "LA",
        "花粉アレルギー",
        "5A1002216023023",
        "スギ",
        "JC10",
        "MI^軽度",
        "目のかゆみ",
    ),
    (
        "LA",
        "花粉アレルギー",
        "5A1002215023023",
        "ブタクサ",
        "JC10",
        "MI^軽度",
        "鼻汁・くしゃみ",
    ),
    (
        "FA",
        "食物アレルギー",
        "5A1002411023006",
        "ソバ",
        "JC10",
        "MO^中等度",
        "湿疹",
    ),
    (
        "FA",
        "食物アレルギー",
        "5A1002424023006",
        "エビ",
        "JC10",
        "SV^重度",
        "呼吸困難・血圧低下（エピペン所持）",
    ),
    (
        "FA",
        "食物アレルギー",
        "5A1002401023006",
        "卵白",
        "JC10",
        "MO^中等度",
        "蕁麻疹",
    ),
    (
        "EA",
        "環境アレルギー",
        "5A1102700023023",
        "ハウスダスト",
        "JC10",
        "MI^軽度",
        "くしゃみ",
    ),
    (
        "DA",
        "薬剤アレルギー",
        "106824501",
        "アリナミン",
        "HOT9",
        "MO^中等度",
        "のどの渇き",
    ),
    (
        "DA",
        "薬剤アレルギー",
        "110626901",
        "パンスポリン",
        "HOT9",
        "SV^重度",
        "アナフィラキシーショック",
    ),
    (
        "DA",
        "薬剤アレルギー",
        "100996801",
        "ロキソニン",
        "HOT9",
        "MO^中等度",
        "喘息発作",
    ),
    (
        "DA",
        "薬剤アレルギー",
        "114772201",
        "ヨード造影剤",
        "HOT9",
        "SV^重度",
        "血圧低下・意識消失",
    ),
];

/// Meals: local code, name.
pub(super) const MEALS: &[(&str, &str)] = &[
    ("001", "常食"),
    ("002", "全粥食"),
    ("003", "五分粥食"),
    ("011", "減塩食（塩分６ｇ）"),
    ("012", "糖尿病食１６００ｋｃａｌ"),
    ("013", "腎臓病食（蛋白４０ｇ）"),
    ("021", "嚥下調整食２－１"),
    ("031", "流動食"),
    ("099", "絶食"),
];

/// Instructions for a meal.
pub(super) const MEAL_NOTES: &[&str] = &[
    "塩分控えめ",
    "卵禁止",
    "納豆禁止（ワーファリン内服中）",
    "一口大に刻む",
    "とろみをつける",
    "箸の代わりにスプーン",
    "牛乳を豆乳に変更",
];
