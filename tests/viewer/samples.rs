//! The genuine samples through the pages of a running viewer: every field that
//! a clinician needs from their kinds is on the record's page. The values were
//! read off the samples by eye.

use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::harness::{Site, samples, skipped};
use crate::shelter::{FACILITIES, Shelter};

/// The volume that has nothing but the samples.
const LABEL: &str = "SMP01";
const PATIENT: &str = "9999013";

/// What the page of a kind has to say.
const EXPECTED: [(&str, &[&str]); 18] = [
    (
        "ADT-00",
        &[
            "患者 太郎",
            "カンジャ タロウ",
            "1948-04-05",
            "昭和23年",
            "男",
            "422-8033",
            "静岡県静岡市登呂１－３－５",
            "自宅 054-000-0000",
            "緊急 03-5999-9999",
            "勤務先 03-3599-9993",
            "本人",
            "03-3599-9993",
            "東京都港区鹿ノ門６丁目３番３号",
            "鹿ノ門商事株式会社",
            "あり PT",
            "身長 167.8 cm",
            "体重 63.5 kg",
            "血液型-ABO式 A",
            "薬剤: ペニシリン",
            "国民健康保険退職者",
            "67999991",
            "2009-12-01",
            "32-302-1",
            "2011-12-19 12:15",
        ],
    ),
    (
        "ADT-22",
        &["入院", "32-302-1", "医師一郎", "2011-11-20 16:00"],
    ),
    ("ADT-42", &["32-302-1", "32-305-1", "2011-12-20 20:00"]),
    (
        "ADT-52",
        &["41-460-2", "01", "2011-12-20 12:00", "医師 一郎"],
    ),
    (
        "ADT-61",
        &[
            "花粉",
            "スギ",
            "軽度",
            "目のかゆみ",
            "1996-01",
            "食物",
            "ソバ",
            "中等度",
            "湿疹",
            "小学校低学年の頃",
            "環境",
            "ハウスダスト",
            "くしゃみ",
            "2003-02",
            "薬剤",
            "アリナミン",
            "のどの渇きが止まらない",
            "2007-07-10",
        ],
    ),
    (
        "PPR-01",
        &[
            "胃炎",
            "20054174",
            "K297",
            "外来時",
            "2011-08-31",
            "回復せず",
            "主病名",
        ],
    ),
    (
        "OMP-01",
        &[
            "ダーゼン錠（５mg)",
            "108665201",
            "1回 1 錠",
            "1日 3 錠",
            "総量 15 錠",
            "外来処方",
            "院内処方",
            "内服・経口・１日３回朝昼夕食後",
            "5日分",
            "2011-07-01",
            "口",
            "パンスポリンＴ錠（１００mg)",
            "アレピアチン１０倍散",
            "50 ミリグラム",
            "散剤",
            "医師 一郎",
            "内科",
            "2011-07-01 10:30",
        ],
    ),
    (
        "OMP-02",
        &[
            "123456789012345_01_001",
            "2011-07-01 08:00 – 2011-07-01 13:00",
            "510 ミリリットル",
            "102 ミリリッター／時間 / H1",
            "５時間一定速度で",
            "静脈内 / 点滴ポンプ",
            "基剤: ソリタ－Ｔ３号輸液５００ｍＬ 1 本",
            "添加: アドナ注（静脈用）50mg 1 アンプル",
        ],
    ),
    (
        "OMP-11",
        &[
            "2011-07-01 08:30",
            "ダーゼン錠（５mg)",
            "1 錠",
            "2 錠",
            "口",
            "看護 花子",
            "09A-021-4",
            "実施",
        ],
    ),
    (
        "OMP-12",
        &[
            "2011-07-01 08:05",
            "2011-07-01 13:05",
            "アドナ注（静脈用）50mg",
            "1 アンプル",
            "102ml/hr",
            "左手に実施",
            "静脈内 / 点滴ポンプ",
            "実施",
        ],
    ),
    (
        "OML-11",
        &[
            "材料: 血清",
            "2011-12-19 15:00",
            "血液学的検査",
            "000000011000354",
            "2011-12-20 10:30",
            "医師一郎",
            "内科",
            "A/G比 3A016000002327102 1.7",
            "1.2-2.0",
            "総蛋白",
            "7.2",
            "g/dl",
            "6.70-8.3",
            "アルブミン",
            "4.9",
            "3.7-5.5",
            "確定",
        ],
    ),
    (
        "OML-01",
        &[
            "血清",
            "生化学的検査",
            "総蛋白",
            "総ビリルビン",
            "GOT(AST)",
            "LDH",
            "血漿",
            "血液学的検査",
            "ＰＴ",
            "Ｆｉｂ",
            "ＦＤＰ－Ｐ",
            "呼吸器外科",
            "依頼中",
        ],
    ),
    (
        "OMG-01",
        &[
            "Ｘ線単純撮影",
            "JJ1017:1000000000000000",
            "体重 62",
            "000201101200101",
            "胸部.Ｘ線単純撮影.立位正面(A→P)",
            "000201101200104",
            "腹部.Ｘ線単純撮影.左側臥位正面(A→P)",
        ],
    ),
    (
        "OMG-02",
        &[
            "視覚障害 重度",
            "臨床病名 胃潰瘍の疑い",
            "検査.上部.-.-.上部通常内視鏡.-",
        ],
    ),
    ("OMG-03", &["標準１２誘導心電図", "心筋梗塞の疑い"]),
    (
        "OMG-11",
        &[
            "A201112200030001",
            "1.2.392.1114.20045.43233.5.300001",
            "P1234",
            "US",
            "2011-12-20",
            "産科",
            "胎児.経皮的超音波検査",
            "助産師 愛子",
        ],
    ),
    (
        "OMG-12",
        &[
            "大江戸 信吉",
            "小江戸 義弘",
            "尾張 玲子",
            "名古屋 良子",
            "2011-11-20 14:45",
            "2011-11-20 15:10",
            "色素内視鏡加算",
            "セルシン5mg 1 管",
            "キシロカインスプレー 1 回",
            "インジゴカルミン 1 回",
            "GIF-XQ240",
        ],
    ),
    (
        "OMG-13",
        &[
            "2011122000089100",
            "標準１２誘導心電図",
            "心電図所見 心筋虚血疑い",
            "心拍数 67 bpm",
            "T 波軸 -14 degree",
            "R 振幅&V5 2.505 mV",
        ],
    ),
];
/// Meals have their own row: ODS-3 and 4.
const MEALS: (&str, &[&str]) = (
    "OMD",
    &[
        "１日３回",
        "2011-10-16 07:00",
        "ルーチン",
        "001 塩分控えめ",
        "2011-10-13 23:22",
        "医師 一郎",
    ],
);

fn files(folder: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(folder).unwrap();
    let paths = items.map(|item| item.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

fn below(root: &Path) -> Vec<String> {
    let paths = files(root).into_iter();
    paths
        .map(|path| {
            path.strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_string()
        })
        .collect()
}

/// Copies the samples into a volume of the first facility.
pub fn plant(site: &Site) {
    let Some(root) = samples() else { return };
    for path in below(&root) {
        let bytes = fs::read(root.join(&path)).unwrap();
        site.put(&format!("{}/{LABEL}/{path}", FACILITIES[0]), &bytes);
    }
}

/// Looks for every value on the page of its record.
pub fn check(shelter: &Shelter) {
    let Some(root) = samples() else {
        return skipped(
            "samples through the pages",
            "the samples don't lie beside the project",
        );
    };
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    let directory = format!("999/901/{PATIENT}/");
    let all = below(&root);
    let mut missing = Vec::new();
    for (kind, values) in EXPECTED.iter().chain([&MEALS]) {
        let mut of_kind = all.iter().filter_map(|path| path.strip_prefix(&directory));
        let path = of_kind.find(|path| path.contains(&format!("/{kind}/")));
        let hex: String = path
            .unwrap()
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let page = client.get(&format!(
            "/p/{}/{PATIENT}/record/{LABEL}/{hex}?seen=1",
            FACILITIES[0]
        ));
        assert_eq!(page.status, 200, "{kind}");
        let text = text_of(&page.body);
        let absent = values.iter().filter(|value| !text.contains(**value));
        missing.extend(absent.map(|value| format!("{kind}: {value}\n    in {text}")));
    }
    assert!(
        missing.is_empty(),
        "{} values are on no page:\n{}",
        missing.len(),
        missing.join("\n")
    );
    // A kind of each sample is one of those, so that none is forgotten.
    for path in all.iter().filter_map(|path| path.strip_prefix(&directory)) {
        let kind = path.split('/').nth(1).unwrap();
        let known = EXPECTED
            .iter()
            .chain([&MEALS])
            .any(|(name, _)| *name == kind);
        assert!(known, "{kind}: a sample that nobody looks at");
    }
}

/// What a page says in its main part, spaces joined.
pub fn text_of(page: &str) -> String {
    let main = page.split_once("<main").map_or(page, |(_, main)| main);
    let mut text = String::new();
    for part in main.split('<') {
        text.push(' ');
        text += part.split_once('>').map_or(part, |(_, text)| text);
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
