//! Documents of the extended storage: CDA as safe text, hostile XML, vitals.

use hikae::clinical::{Block, Body, Cda, CdaError, DocumentType, Inline, Media, Record, Sex};

use crate::shared::{assert_noted, notes, read, shown};

const FOLDER: &str = "20240105/^退院サマリ^^18842-5^退院時サマリー^LN/9999013_20240105_18842-5_1.2.3_202401051200000_1";

fn document(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ClinicalDocument xmlns=\"urn:hl7-org:v3\">\
         <code code=\"18842-5\" codeSystem=\"2.16.840.1.113883.6.1\" displayName=\"退院時サマリー\"/>\
         <title>退院時サマリー</title><effectiveTime value=\"20240105120000+0900\"/><versionNumber value=\"2\"/>\
         <recordTarget><patientRole><id root=\"1.2\" extension=\"9999013\"/><patient>\
         <name use=\"IDE\"><family>患者</family><given>太郎</given></name>\
         <name use=\"SYL\"><family>カンジャ</family><given>タロウ</given></name>\
         <administrativeGenderCode code=\"M\"/><birthTime value=\"19480405\"/></patient></patientRole></recordTarget>\
         <author><assignedAuthor><assignedPerson><name><family>医師</family><given>一郎</given></name></assignedPerson>\
         </assignedAuthor></author><custodian><assignedCustodian><representedCustodianOrganization><name>登呂病院</name>\
         </representedCustodianOrganization></assignedCustodian></custodian>\
         <component><structuredBody><component><section><title>経過</title>{body}</section></component></structuredBody></component>\
         </ClinicalDocument>"
    )
}

fn cda(record: &Record) -> &Cda {
    match &record.body {
        Body::Document(cda) => cda,
        other => panic!("{other:?} {:?}", notes(record)),
    }
}

fn read_main(text: &str) -> Record {
    read(&format!("{FOLDER}/main_document.xml"), text.as_bytes())
}

fn plain(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        match block {
            Block::Paragraph(line) | Block::Caption(line) => {
                for inline in line {
                    match inline {
                        Inline::Text(text, _) => out.push_str(text),
                        Inline::Break => out.push('/'),
                        Inline::Media(file) => out.push_str(&format!("[{file}]")),
                    }
                }
                out.push('\n');
            }
            Block::List { items, .. } => items
                .iter()
                .for_each(|item| out.push_str(&format!("- {}", plain(item)))),
            Block::Table(rows) => {
                for row in rows {
                    let cells: Vec<String> = row
                        .cells
                        .iter()
                        .map(|cell| plain(&cell.blocks).trim().to_owned())
                        .collect();
                    out.push_str(&format!("{}\n", cells.join(" | ")));
                }
            }
        }
    }
    out
}

#[test]
fn header_and_narrative() {
    let record = read_main(&document(
        "<text>入院後、<content styleCode=\"Bold\">安静</content>と\n   補液。<br/>改善 H<sub>2</sub>O<paragraph>次の段落</paragraph>\
         <list listType=\"ordered\"><item>一</item><item>二<list><item>二の一</item></list></item></list>\
         <table><caption>検査</caption><thead><tr><th>項目</th><th colspan=\"2\">値</th></tr></thead>\
         <tbody><tr><td>ＣＲＰ</td><td>0.3</td><td>mg/dL</td></tr></tbody></table>\
         <renderMultiMedia referencedObject=\"M1\"/><linkHtml href=\"http://evil.example/\">外部</linkHtml></text>\
         <entry><observationMedia ID=\"M1\"><value mediaType=\"image/png\"><reference value=\"image_001.png\"/></value></observationMedia></entry>\
         <component><section><title>方針</title><text>外来にて再診。</text></section></component>",
    ));
    assert_eq!(notes(&record), [""; 0]);
    assert!(record.counts());
    assert_eq!(
        record.document.as_ref().unwrap().document_type,
        DocumentType::DischargeSummary
    );
    assert_eq!(shown(&record.written), "2024-01-05 12:00");
    let cda = cda(&record);
    assert_eq!(
        (
            cda.title.as_str(),
            cda.version.as_str(),
            cda.custodian.as_str()
        ),
        ("退院時サマリー", "2", "登呂病院")
    );
    assert_eq!(cda.authors, ["医師 一郎"]);
    assert_eq!(
        (cda.patient.name.kana.as_str(), &cda.patient.sex),
        ("カンジャ タロウ", &Sex::Male)
    );
    let section = &cda.sections[0];
    assert_eq!(
        plain(&section.blocks),
        "入院後、安静と 補液。/改善 H2O\n次の段落\n- 一\n- 二\n- 二の一\n検査\n項目 | 値\nＣＲＰ | 0.3 | mg/dL\n[image_001.png]外部 [http://evil.example/]\n"
    );
    let Block::Paragraph(first) = &section.blocks[0] else {
        panic!()
    };
    let bold: Vec<_> = first
        .iter()
        .filter(|one| matches!(one, Inline::Text(_, mark) if mark.bold))
        .collect();
    assert_eq!(bold.len(), 1);
    assert_eq!(section.files, ["image_001.png"]);
    assert_eq!(
        (
            section.sections[0].title.as_str(),
            plain(&section.sections[0].blocks).as_str()
        ),
        ("方針", "外来にて再診。\n")
    );
}

#[test]
fn markup_of_another_kind_is_text_and_told() {
    let record = read_main(&document(
        "<text><script>alert(1)</script><p onclick=\"x()\">段落 &lt;b&gt;</p></text>",
    ));
    assert_eq!(
        plain(&cda(&record).sections[0].blocks),
        "alert(1)\n段落 <b>\n"
    );
    assert_noted(&record, "element script");
    let record = read_main(&document("<entry><observation/></entry>"));
    assert_noted(&record, "1 coded entries without text");
}

#[test]
fn entities_and_document_types_are_refused() {
    for hostile in [
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><ClinicalDocument>&a;</ClinicalDocument>".to_owned(),
        format!(
            "<!DOCTYPE x [<!ENTITY a \"{}\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><ClinicalDocument>&b;</ClinicalDocument>",
            "x".repeat(1000)
        ),
    ] {
        let record = read_main(&hostile);
        assert_eq!(record.body, Body::Uninterpreted);
        assert_noted(&record, "has a DTD");
    }
    let undefined = read_main("<ClinicalDocument>&nbsp;</ClinicalDocument>");
    assert_noted(&undefined, "not well-formed XML");
}

#[test]
fn size_number_and_depth_are_bounded() {
    let long = " ".repeat(hikae::clinical::CDA_BYTES_MAX + 1);
    assert!(matches!(
        Cda::read(long.as_bytes()),
        Err(CdaError::TooLong { .. })
    ));
    let many = document(&format!("<text>{}</text>", "<br/>".repeat(200_001)));
    assert_eq!(
        Cda::read(many.as_bytes()).unwrap_err(),
        CdaError::TooManyNodes
    );
    let (open, close) = ("<content>".repeat(20_000), "</content>".repeat(20_000));
    let record = read_main(&document(&format!("<text>{open}底{close}</text>")));
    assert!(plain(&cda(&record).sections[0].blocks).contains('底'));
    assert_noted(&record, "deeply nested text");
    let (open, close) = (
        "<component><section>".repeat(5000),
        "</section></component>".repeat(5000),
    );
    let record = read_main(&document(&format!("{open}<text>底</text>{close}")));
    let mut section = &cda(&record).sections[0];
    while let Some(inner) = section.sections.first() {
        section = inner;
    }
    assert_eq!(plain(&section.blocks), "底\n");
    assert_noted(&record, "deeply nested sections");
}

#[test]
fn other_encodings_other_xml_and_other_patients() {
    let text = document("<text>表示</text>").replace("UTF-8", "Shift_JIS");
    let bytes = encoding_rs::SHIFT_JIS.encode(&text).0;
    let record = read(&format!("{FOLDER}/main_document.xml"), &bytes);
    assert_eq!(plain(&cda(&record).sections[0].blocks), "表示\n");

    let record = read_main("<html><body/></html>");
    assert_noted(&record, "the root element is html");
    let other = read_main(&document("<text>a</text>").replace("9999013", "7777777"));
    assert!(other.warning().is_some() && !other.counts());
    assert!(matches!(other.body, Body::Document(_)));

    let reference = "<component><nonXMLBody><text mediaType=\"application/pdf\"><reference value=\"a.pdf\"/></text></nonXMLBody></component>";
    let text = document("<text/>");
    let (head, _) = text.split_once("<component><structuredBody>").unwrap();
    let record = read_main(&format!("{head}{reference}</ClinicalDocument>"));
    assert_eq!(cda(&record).sections[0].files, ["a.pdf"]);
}

#[test]
fn attachments_and_vitals() {
    let pdf = read(&format!("{FOLDER}/attachment_001.pdf"), b"%PDF-1.4");
    assert_eq!(pdf.body, Body::Attachment(Media::Pdf));
    let folder = "20240105/V01^バイタルデータ^99L^8716-3^バイタルサイン^LN/9999013_20240105_8716-3_1_202401051200000_1";
    let message = "MSH|^~\\&|||||20240105||ORU^R30\rPID|1||9999013\rORC|NW|1\rOBR|1|1||8716-3^Vital^LN|||202401051200\r\
                   OBX|1|NM|8310-5^T^LN||36.5|Cel^C^ISO+|||||F\rOBX|2|NM|8480-6^BP^LN||120|mm(hg)^mmHg^ISO+|||||F\r";
    let record = read(&format!("{folder}/main_document.hl7"), message.as_bytes());
    let Body::Vitals(vitals) = &record.body else {
        panic!("{:?}", record.body)
    };
    let texts: Vec<_> = vitals
        .observations()
        .map(|one| format!("{} {}", one.text(), one.unit.text()))
        .collect();
    assert_eq!(texts, ["36.5 C", "120 mmHg"]);
    assert_eq!(
        record.document.as_ref().unwrap().document_type,
        DocumentType::Vitals
    );
    assert_eq!(notes(&record), [""; 0]);
}
