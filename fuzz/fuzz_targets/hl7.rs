//! Any bytes as a message, as a record of every kind, and as a document: all
//! lines are kept, nothing panics.
#![no_main]

use hikae::clinical::{Kind, Note, Place, Record};
use hikae::hl7::Message;
use hikae::language::Language;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let message = Message::read(data);
    for segment in &message.segments {
        for (_, field) in segment.fields() {
            for one in field.repetitions() {
                let _ = one.component(2).subcomponent(1).text();
            }
        }
    }
    let document = "^x^^18842-5^y^LN/1_20110701_18842-5_1_20110701000000000_01_1/main_document.xml".to_owned();
    let standard = Kind::all().map(|kind| format!("{0}/1_20110701_{0}_1_20110701000000000_01_1", kind.code()));
    for object in standard.chain([document]) {
        let object = format!("20110701/{object}");
        let record = Record::read(Place::new("F", "L", b"1/-/1", object.as_bytes()), data);
        let _ = format!("{:?}", record.body);
        let _: Vec<String> = record.notes.iter().map(|note: &Note| note.text(Language::Japanese)).collect();
        let one = [&record];
        let _ = hikae::clinical::summarize(&one, jiff::civil::date(2011, 7, 3));
    }
});
