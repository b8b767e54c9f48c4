//! Documents of the extended storage: CDA R2 with attachments, and vitals as ORU^R30.

use super::administration::observation;
use super::attachment;
use super::chance::{Chance, Stream};
use super::disease::DISEASES;
use super::frame::Page;
use super::imaging::REASONS;
use super::kind::{DISCHARGE_SUMMARY, DISPENSING, DOCUMENTS, VITALS};
use super::pharmacy::{ORAL, USAGES};

/// Documents with a PDF, and with a picture, in percent.
const PDF_PERCENT: f64 = 25.0;
const PICTURE_PERCENT: f64 = 12.0;

/// A file of a content folder: name and content.
pub(super) type DocumentFile = (&'static str, Vec<u8>);

const COURSES: &[&str] = &[
    "入院後、安静と補液にて症状は速やかに改善した。",
    "抗菌薬の点滴を７日間行い、炎症反応は低下した。",
    "食事は五分粥より開始し、常食まで支障なく摂取できた。",
    "リハビリテーションを継続し、杖歩行が可能となった。",
    "血圧は内服調整後、１３０／８０ｍｍＨｇ前後で安定している。",
    "血糖コントロールは改善傾向であり、インスリンは終了した。",
    "本人および家族に病状を説明し、同意を得た。",
    "疼痛は自制内で、夜間の睡眠も良好である。",
    "下腿浮腫は軽減、体重は入院時より２．４ｋｇ減少した。",
];
const PLANS: &[&str] = &[
    "外来にて２週後に再診。",
    "かかりつけ医での内服継続を依頼。",
    "３か月後にＣＴで再評価の予定。",
    "訪問看護を導入した。",
    "次回、採血と心電図を予定。",
];
const DISASTERS: &[&str] = &[
    "避難所巡回診療。慢性疾患の処方継続を希望。",
    "がれき撤去中に釘を踏み抜き受傷。破傷風予防を実施。",
    "不眠と不安の訴え。こころのケアチームへ連絡。",
];

impl Page<'_> {
    /// All files of the content folder, the main document first.
    pub(super) fn document(&self, place: usize) -> Vec<DocumentFile> {
        if place == VITALS {
            return vec![("main_document.hl7", self.vitals())];
        }
        let chance = &mut self.patient.chance(Stream::Event, self.event.number);
        let lines = self.paragraphs(place, chance);
        let with_pdf = chance.percent(PDF_PERCENT);
        let with_picture = chance.percent(PICTURE_PERCENT);
        let mut files = vec![(
            "main_document.xml",
            self.cda(place, &lines, with_pdf, with_picture),
        )];
        if with_pdf {
            let head = format!(
                "{} {} {} 様",
                self.title(),
                self.patient.person.name.family,
                self.patient.person.name.given
            );
            let mut text = vec![format!("文書番号 {}", self.control_id())];
            text.extend(lines);
            files.push(("attachment_001.pdf", attachment::pdf(&head, &text)));
        }
        if with_picture {
            files.push((
                "image_001.png",
                attachment::picture(chance, self.control_id()),
            ));
        }
        files
    }

    fn paragraphs(&self, place: usize, chance: &mut Chance) -> Vec<String> {
        let mut lines = Vec::new();
        if place == DISPENSING {
            for &drug in &self.patient.drugs {
                let drug = &ORAL[drug];
                lines.push(format!(
                    "{} {}{} {}",
                    drug.name,
                    drug.dose_tenths / 10,
                    drug.unit_name,
                    USAGES[drug.usage].1
                ));
            }
            lines.push("服薬指導：飲み忘れなし。残薬を確認した。".to_owned());
            return lines;
        }
        for problem in &self.patient.problems {
            lines.push(format!(
                "#{} {}（発症日 {}）",
                lines.len() + 1,
                DISEASES[problem.disease].name,
                problem.onset.date()
            ));
        }
        if place == 5 {
            lines.push((*chance.pick(DISASTERS)).to_owned());
        }
        if let (DISCHARGE_SUMMARY, Some(stay)) = (place, self.event.stay) {
            lines.push(format!(
                "入院期間 {} ～ {}",
                stay.admitted.date(),
                stay.discharged.date()
            ));
        }
        lines.push(chance.pick(REASONS).1.to_owned());
        let from = chance.below(COURSES.len());
        for step in 0..2 + chance.below(4) {
            lines.push(COURSES[(from + step * 2) % COURSES.len()].to_owned());
        }
        if self.version.revision > 0 {
            lines.push(format!("（第{}版：誤記を訂正）", self.version.revision + 1));
        }
        lines.push((*chance.pick(PLANS)).to_owned());
        lines
    }

    fn cda(&self, place: usize, lines: &[String], with_pdf: bool, with_picture: bool) -> Vec<u8> {
        let (code, system, name) = DOCUMENTS[place].cda;
        let paragraphs: String = lines
            .iter()
            .map(|line| format!("<paragraph>{line}</paragraph>\n"))
            .collect();
        let mut entries = String::new();
        for (present, file, media) in [
            (with_pdf, "attachment_001.pdf", "application/pdf"),
            (with_picture, "image_001.png", "image/png"),
        ] {
            if present {
                entries.push_str(&format!(
                    "<entry><observationMedia classCode=\"OBS\" moodCode=\"EVN\"><value mediaType=\"{media}\"><reference value=\"{file}\"/>\
                     </value></observationMedia></entry>\n"
                ));
            }
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ClinicalDocument xmlns=\"urn:hl7-org:v3\">\n\
             <typeId root=\"2.16.840.1.113883.1.3\" extension=\"POCD_HD000040\"/>\n\
             <id root=\"{oid}\" extension=\"{id}\"/>\n\
             <code code=\"{code}\" codeSystem=\"{system}\" displayName=\"{name}\"/>\n\
             <title>{name}</title>\n\
             <effectiveTime value=\"{time}+0900\"/>\n\
             <confidentialityCode code=\"N\" codeSystem=\"2.16.840.1.113883.5.25\"/>\n\
             <languageCode code=\"ja-JP\"/>\n\
             <versionNumber value=\"{version}\"/>\n\
             {participants}\
             <component><structuredBody><component><section>\n<code code=\"{code}\" codeSystem=\"{system}\"/>\n<title>{name}</title>\n\
             <text>\n{paragraphs}</text>\n{entries}</section></component></structuredBody></component>\n\
             </ClinicalDocument>\n",
            oid = self.oid(),
            id = self.control_id(),
            time = self.version.written.seconds(),
            version = self.version.revision + 1,
            participants = self.cda_participants(),
        )
        .into_bytes()
    }

    /// Root of the facility's identifiers; an arc has no leading zero.
    fn oid(&self) -> String {
        format!(
            "1.2.392.200250.1.{}",
            self.patient.facility.id.trim_start_matches('0')
        )
    }

    /// recordTarget, author and custodian of the CDA header.
    fn cda_participants(&self) -> String {
        let (facility, person) = (self.patient.facility, &self.patient.person);
        let name = &person.name;
        let doctor = &facility.doctors[self.event.doctor % facility.doctors.len()];
        format!(
            "<recordTarget><patientRole><id root=\"{oid}\" extension=\"{patient_id}\"/>\
             <addr><postalCode>{postal}</postalCode><streetAddressLine>{address}</streetAddressLine></addr><telecom value=\"tel:{phone}\"/>\n\
             <patient><name use=\"IDE\"><family>{family}</family><given>{given}</given></name>\
             <name use=\"SYL\"><family>{family_kana}</family><given>{given_kana}</given></name>\
             <administrativeGenderCode code=\"{sex}\" codeSystem=\"2.16.840.1.113883.5.1\"/><birthTime value=\"{birth}\"/></patient>\
             </patientRole></recordTarget>\n\
             <author><time value=\"{time}+0900\"/><assignedAuthor><id root=\"{oid}\" extension=\"{doctor_id}\"/>\
             <assignedPerson><name><family>{doctor_family}</family><given>{doctor_given}</given></name></assignedPerson></assignedAuthor></author>\n\
             <custodian><assignedCustodian><representedCustodianOrganization><id root=\"{oid}\"/><name>{facility_name}</name>\
             </representedCustodianOrganization></assignedCustodian></custodian>\n",
            oid = self.oid(),
            patient_id = self.patient.id,
            postal = person.postal,
            address = person.address,
            phone = person.phone,
            family = name.family,
            given = name.given,
            family_kana = name.family_kana,
            given_kana = name.given_kana,
            sex = person.sex(),
            birth = person.birth.date(),
            time = self.version.written.seconds(),
            doctor_id = doctor.id,
            doctor_family = doctor.name.family,
            doctor_given = doctor.name.given,
            facility_name = facility.name,
        )
    }

    /// ORU^R30: what a ward measures.
    fn vitals(&self) -> Vec<u8> {
        let chance = &mut self.patient.chance(Stream::Event, self.event.number);
        let mut message = self.open("ORU^R30^ORU_R30");
        self.pv1(&mut message, None);
        message
            .segment("ORC")
            .at(1, "NW")
            .at(2, &self.event.order)
            .at(9, self.event.happened.seconds())
            .at(12, self.doctor());
        message
            .segment("OBR")
            .at(1, 1)
            .at(2, &self.event.order)
            .at(4, "8716-3^バイタルサイン^LN")
            .at(7, self.event.happened.minutes())
            .at(16, self.nurse(0))
            .at(25, "F");
        let temperature = 358 + chance.below(22) as i64 + i64::from(self.version.revision);
        for (set, test, value, unit) in [
            (
                1,
                "8310-5^体温^LN",
                format!("{}.{}", temperature / 10, temperature % 10),
                "Cel^℃^ISO+",
            ),
            (
                2,
                "8867-4^脈拍^LN",
                chance.between(52, 108).to_string(),
                "/min^回／分^ISO+",
            ),
            (
                3,
                "8480-6^収縮期血圧^LN",
                chance.between(92, 168).to_string(),
                "mm(hg)^mmHg^ISO+",
            ),
            (
                4,
                "8462-4^拡張期血圧^LN",
                chance.between(50, 98).to_string(),
                "mm(hg)^mmHg^ISO+",
            ),
            (
                5,
                "2708-6^ＳｐＯ２^LN",
                chance.between(90, 100).to_string(),
                "%^%^ISO+",
            ),
            (
                6,
                "9279-1^呼吸数^LN",
                chance.between(11, 25).to_string(),
                "/min^回／分^ISO+",
            ),
        ] {
            observation(&mut message, set, "NM", test, &value, unit);
        }
        message.encode()
    }
}
