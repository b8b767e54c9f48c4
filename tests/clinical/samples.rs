//! Every field that DOMAIN.md lists, in the genuine sample of its kind. The values were read off
//! the samples by eye.

use hikae::clinical::{
    AllergyClass, Basics, Body, Completion, Flag, IngredientRole, LabReport, MedicationOrder,
    Movement, Observation, PatientClass, Quantity, Sex, Staff,
};
use hikae::language::Language;

use crate::shared::{are_there, of_kind, shown};

const JA: Language = Language::Japanese;

fn amount(quantity: &Option<Quantity>) -> String {
    quantity.as_ref().map(Quantity::text).unwrap_or_default()
}

fn name(staff: &Option<Staff>) -> &str {
    staff.as_ref().map_or("", Staff::text)
}

fn basics() -> Basics {
    match of_kind("ADT-00").body {
        Body::Basics(basics) => *basics,
        other => panic!("{other:?}"),
    }
}

fn movement(kind: &str) -> Movement {
    match of_kind(kind).body {
        Body::Movement(movement) => *movement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn adt_00_basics() {
    if !are_there("ADT-00") {
        return;
    }
    let record = of_kind("ADT-00");
    assert_eq!(record.identity.ids, ["9999013"]);
    assert!(record.counts());
    let basics = basics();
    assert_eq!(
        (basics.name.kanji.as_str(), basics.name.kana.as_str()),
        ("患者 太郎", "カンジャ タロウ")
    );
    let birth = basics.birth.as_ref().unwrap();
    assert_eq!(birth.show_with_era(JA), "1948-04-05（昭和23年）");
    assert_eq!((&basics.sex, basics.sex.text(JA)), (&Sex::Male, "男"));
    let address = &basics.addresses[0];
    assert_eq!(
        (address.postal.as_str(), address.text.as_str()),
        ("422-8033", "静岡県静岡市登呂１－３－５")
    );
    let phones: Vec<_> = basics
        .home_phones
        .iter()
        .chain(&basics.work_phones)
        .map(|phone| (phone.usage_text(JA), phone.number.as_str()))
        .collect();
    assert_eq!(
        phones,
        [
            ("自宅", "054-000-0000"),
            ("緊急", "03-5999-9999"),
            ("勤務先", "03-3599-9993")
        ]
    );
    assert_eq!(shown(&basics.updated), "2011-12-19 12:15");
}

#[test]
fn adt_00_kin_body_and_insurance() {
    if !are_there("ADT-00") {
        return;
    }
    let basics = basics();
    let kin = &basics.kin[0];
    assert_eq!(
        (kin.name.kanji.as_str(), kin.relationship.text()),
        ("患者 太郎", "本人")
    );
    assert_eq!(kin.addresses[1].text, "東京都港区鹿ノ門６丁目３番３号");
    let numbers: Vec<_> = kin
        .phones
        .iter()
        .map(|phone| phone.number.as_str())
        .collect();
    assert_eq!(numbers, ["054-000-0000", "03-3599-9993"]);
    assert_eq!(kin.employer, "鹿ノ門商事株式会社");
    assert_eq!(basics.disabled, Some(true));
    assert_eq!(basics.disability, "PT Y");
    let with_unit = |one: &Observation| format!("{} {}", one.text(), one.unit.text());
    assert_eq!(with_unit(basics.height().unwrap()), "167.8 cm");
    assert_eq!(with_unit(basics.weight().unwrap()), "63.5 kg");
    assert_eq!(basics.blood_abo().unwrap().text(), "A");
    assert_eq!(basics.blood_rh(), None);
    let allergy = &basics.allergies[0];
    assert_eq!(
        (allergy.class, allergy.substance.text()),
        (AllergyClass::Drug, "ペニシリン")
    );
    assert_eq!(allergy.class_coded.text(), "薬剤アレルギー");
    let insurance = &basics.insurances[0];
    assert_eq!(
        (insurance.plan.text(), insurance.number.as_str()),
        ("国民健康保険退職者", "67999991")
    );
    assert_eq!(shown(&insurance.from), "2009-12-01");
    assert_eq!(insurance.relationship.text(), "本人");
    assert_eq!(basics.place.place.text(), "32-302-1");
}

#[test]
fn adt_movements() {
    if !are_there("ADT") {
        return;
    }
    let admission = movement("ADT-22");
    assert_eq!(
        (&admission.class, admission.class.text(JA)),
        (&PatientClass::Inpatient, "入院")
    );
    assert_eq!(admission.place.text(), "32-302-1");
    // A name that is not divided.
    let doctor = &admission.doctors[0];
    assert_eq!(
        (doctor.id.as_str(), doctor.name.as_str()),
        ("ishi01", "医師一郎")
    );
    assert_eq!(name(&admission.admitted_by), "医師一郎");
    assert_eq!(admission.department.text(), "01");
    assert_eq!(shown(&admission.admitted), "2011-11-20 16:00");
    assert!(!admission.taken_back);

    let transfer = movement("ADT-42");
    assert_eq!(
        (transfer.prior.text(), transfer.place.text()),
        ("32-302-1".into(), "32-305-1".into())
    );
    assert_eq!(shown(&transfer.happened), "2011-12-20 20:00");
    assert_eq!(shown(&transfer.recorded), "2011-12-20 21:00");

    let discharge = movement("ADT-52");
    assert_eq!(
        (
            discharge.place.text().as_str(),
            discharge.disposition.text()
        ),
        ("41-460-2", "01")
    );
    assert_eq!(shown(&discharge.discharged), "2011-12-20 12:00");
    assert_eq!(discharge.doctors[0].text(), "医師 一郎");
}

#[test]
fn adt_61_allergies() {
    if !are_there("ADT-61") {
        return;
    }
    let Body::Allergies(allergies) = of_kind("ADT-61").body else {
        panic!()
    };
    let shown: Vec<_> = allergies
        .iter()
        .map(|one| {
            let reactions = one.reactions.join(" ");
            (
                one.class,
                one.substance.text(),
                one.severity.text(),
                reactions,
                one.onset_shown(),
            )
        })
        .collect();
    let expected = [
        (
            AllergyClass::Pollen,
            "スギ",
            "軽度",
            "目のかゆみ".to_owned(),
            "1996-01".to_owned(),
        ),
        (
            AllergyClass::Food,
            "ソバ",
            "中等度",
            "湿疹".to_owned(),
            "小学校低学年の頃".to_owned(),
        ),
        (
            AllergyClass::Environment,
            "ハウスダスト",
            "軽度",
            "くしゃみ".to_owned(),
            "2003-02".to_owned(),
        ),
        (
            AllergyClass::Drug,
            "アリナミン",
            "中等度",
            "のどの渇きが止まらない".to_owned(),
            "2007-07-10".to_owned(),
        ),
    ];
    assert_eq!(shown, expected);
    assert!(
        allergies
            .iter()
            .all(|one| !one.is_withdrawn() && one.action.text() == "追加")
    );
    assert_eq!(allergies[3].substance.code_in("HOT9"), Some("106824501"));
}

#[test]
fn ppr_01_problems() {
    if !are_there("PPR-01") {
        return;
    }
    let Body::Problems(problems) = of_kind("PPR-01").body else {
        panic!()
    };
    let one = &problems[0];
    assert_eq!((problems.len(), one.title().as_str()), (1, "胃炎"));
    assert_eq!(one.name.code_in("MDCDX2"), Some("20054174"));
    assert_eq!(
        (shown(&one.established), shown(&one.onset)),
        ("2011-08-31".into(), "2011-08-31".into())
    );
    assert_eq!(shown(&one.resolved), "2011-09-15");
    assert_eq!(
        (one.icd10(), one.classification.text()),
        (Some("K297"), "外来時")
    );
    assert_eq!((one.outcome.text(), one.is_over()), ("回復せず", false));
    assert!(one.is_main() && !one.is_suspected());
    assert_eq!(one.ranking.text(), "主診断");
    assert_eq!(one.security.text(), "非常に限定");
    // ZPR: the code TSQF says the same name again.
    assert!(
        one.modifiers
            .iter()
            .any(|modifier| modifier.has_code("TSQF"))
    );
}

fn orders(kind: &str) -> Vec<MedicationOrder> {
    match of_kind(kind).body {
        Body::Prescription(orders) | Body::Injection(orders) => orders,
        other => panic!("{other:?}"),
    }
}

#[test]
fn omp_01_prescription() {
    if !are_there("OMP-01") {
        return;
    }
    let record = of_kind("OMP-01");
    assert!(matches!(record.body, Body::Prescription(_)));
    let orders = orders("OMP-01");
    let shown_orders: Vec<_> = orders
        .iter()
        .map(|one| {
            (
                one.group.as_str(),
                one.drug.text(),
                amount(&one.dose),
                amount(&one.dispensed),
                amount(&one.daily),
            )
        })
        .collect();
    let text = str::to_owned;
    assert_eq!(
        shown_orders,
        [
            (
                "1",
                "ダーゼン錠（５mg)",
                text("1 錠"),
                text("15 錠"),
                text("3 錠")
            ),
            (
                "1",
                "パンスポリンＴ錠（１００mg)",
                text("2 錠"),
                text("30 錠"),
                text("6 錠")
            ),
            (
                "2",
                "アレピアチン１０倍散",
                text("50 ミリグラム"),
                text("1400 ミリグラム"),
                text("100 ミリグラム")
            ),
        ]
    );
    let first = &orders[0];
    assert_eq!(first.drug.code_in("HOT"), Some("108665201"));
    let kinds: Vec<_> = first.kinds.iter().map(|kind| kind.text()).collect();
    assert_eq!(kinds, ["外来処方", "院内処方"]);
    assert_eq!(first.usage(), "内服・経口・１日３回朝昼夕食後");
    let timing = &first.timings[0];
    assert_eq!(
        (timing.days(), amount(&timing.duration), shown(&timing.from)),
        (Some(5), "5 d".into(), "2011-07-01 00:00".into())
    );
    assert_eq!(first.routes[0].text(), "口");
    assert_eq!(
        (orders[2].form.text(), orders[2].timings[0].days()),
        ("散剤", Some(14))
    );
    assert_eq!(
        (name(&first.ordered_by), first.department.text()),
        ("医師 一郎", "内科")
    );
    assert_eq!(
        (shown(&first.ordered_at), first.prescription.as_str()),
        ("2011-07-01 10:30".into(), "2011070112345")
    );
}

#[test]
fn omp_02_injections_ordered() {
    if !are_there("OMP-02") {
        return;
    }
    let orders = orders("OMP-02");
    let times: Vec<_> = orders
        .iter()
        .map(|one| {
            (
                one.group.as_str(),
                shown(&one.timings[0].from),
                shown(&one.timings[0].to),
            )
        })
        .collect();
    let day = |time: &str| format!("2011-07-01 {time}");
    assert_eq!(
        times,
        [
            ("123456789012345_01_001", day("08:00"), day("13:00")),
            ("123456789012345_01_002", day("13:00"), day("18:00")),
            ("123456789012345_01_003", day("18:00"), day("23:00")),
        ]
    );
    for one in &orders {
        assert_eq!(
            (one.drug.text(), amount(&one.dose)),
            ("一般", "510 ミリリットル".into())
        );
        assert_eq!(
            (amount(&one.rate), one.per.as_str()),
            ("102 ミリリッター／時間".into(), "H1")
        );
        assert_eq!(one.instructions[0].text(), "５時間一定速度で");
        assert_eq!(one.routes[0].text(), "静脈内 / 点滴ポンプ");
        let parts: Vec<_> = one
            .ingredients
            .iter()
            .map(|part| (part.role.clone(), part.drug.text(), amount(&part.amount)))
            .collect();
        assert_eq!(
            parts,
            [
                (
                    IngredientRole::Base,
                    "ソリタ－Ｔ３号輸液５００ｍＬ",
                    "1 本".to_owned()
                ),
                (
                    IngredientRole::Additive,
                    "アドナ注（静脈用）50mg",
                    "1 アンプル".to_owned()
                ),
            ]
        );
    }
}

#[test]
fn omp_11_and_12_given() {
    if !are_there("OMP-11") {
        return;
    }
    let Body::PrescriptionGiven(given) = of_kind("OMP-11").body else {
        panic!()
    };
    let drugs: Vec<_> = given
        .iter()
        .map(|one| (one.drug.text(), amount(&one.amount)))
        .collect();
    assert_eq!(
        drugs,
        [
            ("ダーゼン錠（５mg)", "1 錠".to_owned()),
            ("パンスポリンＴ錠（１００mg)", "2 錠".to_owned())
        ]
    );
    for one in &given {
        assert_eq!(
            (shown(&one.from), shown(&one.to)),
            ("2011-07-01 08:30".into(), "2011-07-01 08:30".into())
        );
        assert_eq!(
            (&one.completion, one.was_given()),
            (&Completion::Complete, true)
        );
        assert_eq!(
            (name(&one.given_by), one.place.as_str()),
            ("看護 花子", "09A-021-4")
        );
        // The one RXR holds for both.
        assert_eq!(one.routes[0].text(), "口");
    }

    let Body::InjectionGiven(given) = of_kind("OMP-12").body else {
        panic!()
    };
    assert_eq!(given.len(), 2);
    let one = &given[1];
    assert_eq!(
        (one.drug.text(), amount(&one.amount)),
        ("アドナ注（静脈用）50mg", "1 アンプル".into())
    );
    assert_eq!(
        (shown(&one.from), shown(&one.to)),
        ("2011-07-01 08:05".into(), "2011-07-01 13:05".into())
    );
    assert_eq!(
        (one.rate.as_str(), one.notes[0].text()),
        ("102ml/hr", "左手に実施")
    );
    assert_eq!(one.routes[0].text(), "静脈内 / 点滴ポンプ");
    assert_eq!(one.completion.text(JA), "実施");
}

fn report(kind: &str) -> LabReport {
    match of_kind(kind).body {
        Body::LabOrder(report) | Body::LabResult(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn oml_11_results() {
    if !are_there("OML-11") {
        return;
    }
    let report = report("OML-11");
    let specimen = &report.specimens[0];
    assert_eq!(
        (specimen.material.text(), shown(&specimen.collected)),
        ("血清", "2011-12-19 15:00".into())
    );
    let panel = &specimen.panels[0];
    assert_eq!(
        (panel.code.text(), panel.order.as_str()),
        ("血液学的検査", "000000011000354")
    );
    assert_eq!(
        (shown(&panel.observed), shown(&panel.reported)),
        ("2011-12-19".into(), "2011-12-20 10:30".into())
    );
    assert_eq!(
        (
            name(&panel.ordered_by),
            panel.department.text(),
            panel.control.as_str()
        ),
        ("医師一郎", "内科", "SC")
    );
    let results: Vec<_> = panel
        .results
        .iter()
        .map(|one| {
            (
                one.code.text(),
                one.text(),
                one.unit.text(),
                one.range.text.as_str(),
                one.flag().unwrap(),
            )
        })
        .collect();
    let text = str::to_owned;
    let normal =
        |flagged: &hikae::clinical::Flagged| flagged.flag == Flag::Normal && flagged.derived;
    assert!(results.iter().all(|one| normal(&one.4)), "{results:?}");
    let shown_results: Vec<_> = results
        .into_iter()
        .map(|one| (one.0, one.1, one.2, one.3))
        .collect();
    assert_eq!(
        shown_results,
        [
            ("A/G比", text("1.7"), "", "1.2-2.0"),
            ("総蛋白", text("7.2"), "g/dl", "6.70-8.3"),
            ("アルブミン", text("4.9"), "g/dl", "3.7-5.5"),
        ]
    );
    assert_eq!(
        panel.results[0].code.code_in("JC10"),
        Some("3A016000002327102")
    );
    assert!(
        panel
            .results
            .iter()
            .all(|one| one.status == hikae::clinical::ResultStatus::Final)
    );
    assert_eq!(shown(&panel.results[0].at), "2011-12-19 15:00");
}

#[test]
fn oml_01_order() {
    if !are_there("OML-01") {
        return;
    }
    let report = report("OML-01");
    let panels: Vec<_> = report
        .specimens
        .iter()
        .map(|specimen| {
            let panel = &specimen.panels[0];
            let tests: Vec<_> = panel.results.iter().map(|one| one.code.text()).collect();
            (
                specimen.material.text(),
                panel.code.text(),
                tests.join(" "),
                panel.department.text(),
            )
        })
        .collect();
    assert_eq!(
        panels,
        [
            (
                "血清",
                "生化学的検査",
                "総蛋白 総ビリルビン GOT(AST) LDH".to_owned(),
                "呼吸器外科"
            ),
            (
                "血漿",
                "血液学的検査",
                "ＰＴ Ｆｉｂ ＦＤＰ－Ｐ".to_owned(),
                "呼吸器外科"
            ),
        ]
    );
    let ordered = |one: &Observation| {
        one.status == hikae::clinical::ResultStatus::Ordered && one.readings.is_empty()
    };
    assert!(report.results().all(|(_, _, one)| ordered(one)));
}

#[test]
fn omg_orders_are_trees() {
    if !are_there("OMG") {
        return;
    }
    let Body::ExaminationOrder(radiology) = of_kind("OMG-01").body else {
        panic!()
    };
    assert_eq!(radiology.orders.len(), 1);
    let whole = &radiology.orders[0];
    assert_eq!(
        (whole.code.text(), whole.code.code_in("JJ1017")),
        ("Ｘ線単純撮影", Some("1000000000000000"))
    );
    assert_eq!(
        (
            whole.observations[0].code.text(),
            whole.observations[0].text().as_str()
        ),
        ("体重", "62")
    );
    let parts: Vec<_> = whole
        .parts
        .iter()
        .map(|part| (part.number.as_str(), part.code.text()))
        .collect();
    assert_eq!(
        parts,
        [
            ("000201101200101", "胸部.Ｘ線単純撮影.立位正面(A→P)"),
            ("000201101200102", "胸部.Ｘ線単純撮影.立位側面(L→R)"),
            ("000201101200103", "腹部.Ｘ線単純撮影.立位正面(A→P)"),
            ("000201101200104", "腹部.Ｘ線単純撮影.左側臥位正面(A→P)"),
        ]
    );

    let Body::ExaminationOrder(endoscopy) = of_kind("OMG-02").body else {
        panic!()
    };
    let whole = &endoscopy.orders[0];
    let findings: Vec<_> = whole
        .observations
        .iter()
        .map(|one| (one.code.text(), one.text()))
        .collect();
    assert_eq!(findings[0], ("視覚障害", "重度".to_owned()));
    assert_eq!(findings[2], ("臨床病名", "胃潰瘍の疑い".to_owned()));
    assert_eq!(whole.parts[0].code.text(), "検査.上部.-.-.上部通常内視鏡.-");

    let Body::ExaminationOrder(physiology) = of_kind("OMG-03").body else {
        panic!()
    };
    let whole = &physiology.orders[0];
    assert_eq!(
        (whole.code.text(), whole.observations[0].text().as_str()),
        ("標準１２誘導心電図", "心筋梗塞の疑い")
    );
}

#[test]
fn omg_done_with_pictures_and_findings() {
    if !are_there("OMG-11") {
        return;
    }
    let Body::ExaminationDone(ultrasound) = of_kind("OMG-11").body else {
        panic!()
    };
    let whole = &ultrasound.orders[0];
    let picture = &whole.images[0];
    assert_eq!(
        (picture.accession.as_str(), picture.study.as_str()),
        ("A201112200030001", "1.2.392.1114.20045.43233.5.300001")
    );
    assert_eq!(
        (picture.procedure.as_str(), picture.modality.text()),
        ("P1234", "US")
    );
    assert_eq!(
        (
            shown(&whole.done_at),
            whole.status.as_str(),
            whole.department.text()
        ),
        ("2011-12-20".into(), "F", "産科")
    );
    let detail = &whole.parts[0].details[0];
    assert_eq!(detail.code.text(), "胎児.経皮的超音波検査");
    assert!(
        detail.others.contains(&(7, "助産師 愛子".to_owned())),
        "{:?}",
        detail.others
    );

    let Body::ExaminationDone(endoscopy) = of_kind("OMG-12").body else {
        panic!()
    };
    // NW and PA have different ORC-2, but one OBR-2.
    assert_eq!(endoscopy.orders.len(), 1);
    let whole = &endoscopy.orders[0];
    assert_eq!(
        (
            whole.parts.len(),
            whole.observations.len(),
            whole.images.len()
        ),
        (2, 4, 2)
    );
    let first = &whole.parts[0].details[0];
    let texts: Vec<_> = first.observations.iter().map(|one| one.text()).collect();
    assert_eq!(
        texts,
        [
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
        ]
    );
    assert_eq!(whole.parts[1].details.len(), 2);
    assert_eq!(endoscopy.observations().count(), 4 + 11 + 12);
}

#[test]
fn omg_13_measures() {
    if !are_there("OMG-13") {
        return;
    }
    let Body::ExaminationDone(ecg) = of_kind("OMG-13").body else {
        panic!()
    };
    let order = &ecg.orders[0];
    assert_eq!(
        (order.number.as_str(), order.code.text()),
        ("2011122000089100", "標準１２誘導心電図")
    );
    assert_eq!(order.observations.len(), 12);
    let texts: Vec<_> = order
        .observations
        .iter()
        .map(|one| format!("{} {} {}", one.code.text(), one.text(), one.unit.text()))
        .collect();
    assert_eq!(texts[0], "心電図所見 心筋虚血疑い ");
    assert_eq!(texts[1], "心拍数 67 bpm");
    assert_eq!(texts[9], "T 波軸 -14 degree");
    assert_eq!(texts[10], "R 振幅&V5 2.505 mV");
    assert_eq!(
        (
            order.observations[0].sub_id.as_str(),
            order.observations[1].sub_id.as_str()
        ),
        ("1", "2")
    );
}

#[test]
fn omd_meals() {
    if !are_there("OMD") {
        return;
    }
    let Body::Meals(meals) = of_kind("OMD").body else {
        panic!()
    };
    let meal = &meals[0];
    assert_eq!(
        (
            meal.timings[0].usages[0].text(),
            shown(&meal.timings[0].from)
        ),
        ("１日３回", "2011-10-16 07:00".into())
    );
    assert_eq!(meal.timings[0].priority.text(), "ルーチン");
    let item = &meal.items[0];
    assert_eq!(
        (item.kind.as_str(), item.codes[0].text(), item.text.as_str()),
        ("D", "001", "塩分控えめ")
    );
    assert_eq!(
        (shown(&meal.ordered_at), name(&meal.ordered_by)),
        ("2011-10-13 23:22".into(), "医師 一郎")
    );
}
