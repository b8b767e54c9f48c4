//! Laboratory tests: tables only. JLAC10 codes, units, reference ranges.

/// A test with a number as its result.
pub(super) struct Test {
    /// JLAC10 code (17 digits).
    pub(super) code: &'static str,
    /// Standard name.
    pub(super) name: &'static str,
    /// Local code.
    pub(super) local: &'static str,
    /// Short name; also the local name.
    pub(super) short: &'static str,
    /// Unit; empty for a ratio.
    pub(super) unit: &'static str,
    /// Reference range.
    pub(super) range: (f64, f64),
    /// Digits behind the point.
    pub(super) decimals: u32,
    /// Below this the analyser says only "less than"; 0 for none.
    pub(super) floor: f64,
}

#[expect(clippy::too_many_arguments, reason = "a table row")]
const fn test(
    code: &'static str,
    name: &'static str,
    local: &'static str,
    short: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    decimals: u32,
    floor: f64,
) -> Test {
    Test {
        code,
        name,
        local,
        short,
        unit,
        range: (low, high),
        decimals,
        floor,
    }
}

/// A panel: what is ordered together from one specimen.
pub(super) struct Panel {
    /// Local code and name of the panel.
    pub(super) code: (&'static str, &'static str),
    /// JLAC10 material code and name.
    pub(super) specimen: (&'static str, &'static str),
    /// Tests.
    pub(super) tests: &'static [Test],
}

/// Panels with numbers, the frequent ones first.
#[rustfmt::skip] // a table: one test a line
pub(super) const PANELS: &[Panel] = &[
    Panel {
        code: ("E002", "生化学的検査"),
        specimen: ("023", "血清"),
        tests: &[
            test("3A010000002327101", "総蛋白", "10222", "TP", "g/dL", 6.6, 8.1, 1, 0.0),
            test("3A015000002327101", "アルブミン", "10223", "ALB", "g/dL", 4.1, 5.1, 1, 0.0),
            test("3A016000002327102", "A/G比", "10224", "A/G", "", 1.3, 2.2, 1, 0.0),
            test("3J010000002327101", "総ビリルビン", "10213", "T-Bil", "mg/dL", 0.4, 1.5, 1, 0.0),
            test("3B035000002327201", "AST(GOT)", "10207", "AST", "U/L", 13.0, 30.0, 0, 0.0),
            test("3B045000002327201", "ALT(GPT)", "10208", "ALT", "U/L", 10.0, 42.0, 0, 0.0),
            test("3B050000002327201", "LDH", "10206", "LD", "U/L", 124.0, 222.0, 0, 0.0),
            test("3B090000002327101", "γ-GT", "10211", "γ-GT", "U/L", 13.0, 64.0, 0, 0.0),
            test("3C025000002327101", "尿素窒素", "10231", "UN", "mg/dL", 8.0, 20.0, 1, 0.0),
            test("3C015000002327101", "クレアチニン", "10232", "CRE", "mg/dL", 0.65, 1.07, 2, 0.0),
            test("3C020000002327101", "尿酸", "10233", "UA", "mg/dL", 3.7, 7.8, 1, 0.0),
            test("3H010000002326101", "ナトリウム", "10241", "Na", "mmol/L", 138.0, 145.0, 0, 0.0),
            test("3H015000002326101", "カリウム", "10242", "K", "mmol/L", 3.6, 4.8, 1, 0.0),
            test("3H020000002326101", "クロール", "10243", "Cl", "mmol/L", 101.0, 108.0, 0, 0.0),
            test("3H030000002327101", "カルシウム", "10244", "Ca", "mg/dL", 8.8, 10.1, 1, 0.0),
            test("3D010000002227201", "血糖", "10251", "GLU", "mg/dL", 73.0, 109.0, 0, 0.0),
            test("5C070000002306201", "CRP", "10301", "CRP", "mg/dL", 0.0, 0.14, 2, 0.02),
        ],
    },
    Panel {
        code: ("E001", "血液学的検査"),
        specimen: ("019", "全血(添加物入り)"),
        tests: &[
            test("2A010000001930101", "白血球数", "30001", "WBC", "10*3/uL", 3.3, 8.6, 1, 0.0),
            test("2A020000001930101", "赤血球数", "30002", "RBC", "10*6/uL", 4.35, 5.55, 2, 0.0),
            test("2A030000001930101", "ヘモグロビン", "30003", "Hb", "g/dL", 13.7, 16.8, 1, 0.0),
            test("2A040000001930102", "ヘマトクリット", "30004", "Ht", "%", 40.7, 50.1, 1, 0.0),
            test("2A060000001930101", "MCV", "30005", "MCV", "fL", 83.6, 98.2, 1, 0.0),
            test("2A050000001930101", "血小板数", "30008", "PLT", "10*3/uL", 158.0, 348.0, 0, 0.0),
        ],
    },
    Panel {
        code: ("E003", "糖尿病検査"),
        specimen: ("019", "全血(添加物入り)"),
        tests: &[
            test("3D046000001906202", "HbA1c(NGSP)", "10255", "HbA1c", "%", 4.9, 6.0, 1, 0.0),
            test("3D010000002227201", "血糖", "10251", "GLU", "mg/dL", 73.0, 109.0, 0, 0.0),
        ],
    },
    Panel {
        code: ("E004", "脂質検査"),
        specimen: ("023", "血清"),
        tests: &[
            test("3F050000002327101", "総コレステロール", "10261", "T-CHO", "mg/dL", 142.0, 248.0, 0, 0.0),
            test("3F015000002327101", "中性脂肪", "10262", "TG", "mg/dL", 40.0, 234.0, 0, 0.0),
            test("3F070000002327101", "HDLコレステロール", "10263", "HDL-C", "mg/dL", 38.0, 90.0, 0, 0.0),
            test("3F077000002327101", "LDLコレステロール", "10264", "LDL-C", "mg/dL", 65.0, 163.0, 0, 0.0),
        ],
    },
    Panel {
        code: ("E005", "凝固検査"),
        specimen: ("022", "血漿"),
        tests: &[
            test("2B030000002231151", "プロトロンビン時間(INR)", "30046", "PT-INR", "", 0.9, 1.13, 2, 0.0),
            test("2B020000002231151", "活性化部分トロンボプラスチン時間", "30047", "APTT", "sec", 24.0, 34.0, 1, 0.0),
            test("2B100000002231101", "フィブリノーゲン", "30058", "Fib", "mg/dL", 200.0, 400.0, 0, 0.0),
            test("2B140000002206201", "Dダイマー", "30067", "D-D", "ug/mL", 0.0, 1.0, 1, 0.5),
        ],
    },
    Panel {
        code: ("E006", "内分泌・腫瘍マーカー"),
        specimen: ("023", "血清"),
        tests: &[
            test("4A055000002305101", "TSH", "40011", "TSH", "uIU/mL", 0.5, 5.0, 2, 0.01),
            test("4A035000002305101", "遊離T4", "40012", "FT4", "ng/dL", 0.9, 1.7, 2, 0.0),
            test("4Z271000002205101", "BNP", "40031", "BNP", "pg/mL", 0.0, 18.4, 1, 4.0),
            test("5D010000002305101", "CEA", "50011", "CEA", "ng/mL", 0.0, 5.0, 1, 0.5),
            test("3I010000002327101", "血清鉄", "10271", "Fe", "ug/dL", 40.0, 188.0, 0, 0.0),
        ],
    },
];

/// Tests of urine with grades: JLAC10 code, name, short name, reference.
pub(super) const URINE: &[(&str, &str, &str, &str)] = &[
    ("1A020000000190111", "尿蛋白定性", "U-PRO", "(-)"),
    ("1A035000000190111", "尿糖定性", "U-GLU", "(-)"),
    (
        "1A040000000190111",
        "尿ウロビリノーゲン定性",
        "U-URO",
        "(±)",
    ),
    ("1A100000000190111", "尿潜血反応", "U-OB", "(-)"),
    ("1A060000000190111", "尿ケトン体定性", "U-KET", "(-)"),
    ("1A105000000190111", "尿白血球反応", "U-WBC", "(-)"),
];

/// How grades are written; facilities don't agree.
pub(super) const GRADES: &[&str] = &["(-)", "(-)", "(-)", "(±)", "(1+)", " 2 +", "3+"];

/// Materials of cultures: JLAC10 material code, name.
pub(super) const CULTURES: &[(&str, &str)] = &[
    ("061", "喀痰"),
    ("001", "尿(含むその他)"),
    ("018", "血液"),
    ("083", "創部膿"),
];

/// Organisms: local code, name.
pub(super) const ORGANISMS: &[(&str, &str)] = &[
    ("1301", "Staphylococcus aureus (MRSA)"),
    ("1303", "Staphylococcus aureus (MSSA)"),
    ("2001", "Escherichia coli"),
    ("2021", "Klebsiella pneumoniae"),
    ("4001", "Pseudomonas aeruginosa"),
    ("1131", "Streptococcus pneumoniae"),
    ("8501", "Candida albicans"),
    ("0001", "常在菌のみ"),
];

/// Half-width names as some laboratories print them, in the order of [`URINE`].
pub(super) const HALF_WIDTH: &[&str] = &[
    "ﾆｮｳﾀﾝﾊﾟｸ",
    "ﾆｮｳﾄｳ",
    "ｳﾛﾋﾞﾘﾉｰｹﾞﾝ",
    "ﾆｮｳｾﾝｹﾂ",
    "ｹﾄﾝﾀｲ",
    "ﾊｯｹｯｷｭｳ",
];
