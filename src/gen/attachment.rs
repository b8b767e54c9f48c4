//! Attachments of documents: a PDF of one page and a picture.

use png::{BitDepth, ColorType, Encoder};

use super::chance::Chance;

/// Side of a picture in pixels.
const SIDE: u32 = 48;

/// A PDF 1.4 of one page with these lines. The font is one that readers bring along (Adobe-Japan1), so
/// the file stays small; the cross-reference table is exact.
pub(super) fn pdf(title: &str, lines: &[String]) -> Vec<u8> {
    let mut content = String::from("BT /F1 14 Tf 60 780 Td 22 TL\n");
    for line in std::iter::once(title).chain(lines.iter().map(String::as_str)) {
        let hex: String = line
            .encode_utf16()
            .map(|unit| format!("{unit:04X}"))
            .collect();
        content.push_str(&format!("<{hex}> Tj T*\n"));
    }
    content.push_str("ET\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}endstream", content.len()),
        "<< /Type /Font /Subtype /Type0 /BaseFont /KozMinPr6N-Regular /Encoding /UniJIS-UTF16-H /DescendantFonts [6 0 R] >>".to_owned(),
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /KozMinPr6N-Regular /CIDSystemInfo << /Registry (Adobe) \
         /Ordering (Japan1) /Supplement 6 >> /DW 1000 /FontDescriptor 7 0 R >>"
            .to_owned(),
        "<< /Type /FontDescriptor /FontName /KozMinPr6N-Regular /Flags 6 /FontBBox [-437 -340 1147 1317] /ItalicAngle 0 \
         /Ascent 880 /Descent -120 /CapHeight 740 /StemV 86 >>"
            .to_owned(),
    ];
    let mut file = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut offsets = Vec::with_capacity(objects.len());
    for (place, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", place + 1).as_bytes());
    }
    let table = file.len();
    let count = objects.len() + 1;
    file.extend_from_slice(format!("xref\n0 {count}\n0000000000 65535 f \n").as_bytes());
    for offset in offsets {
        file.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    file.extend_from_slice(
        format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").as_bytes(),
    );
    file
}

/// A small grey picture, as an image of a region with a bright spot, that carries a note; empty only if the
/// encoder fails.
pub(super) fn picture(chance: &mut Chance, note: String) -> Vec<u8> {
    let (x, y) = (chance.between(12, 36), chance.between(12, 36));
    let (width, height) = (chance.between(4, 14), chance.between(4, 14));
    let mut pixels = Vec::with_capacity((SIDE * SIDE) as usize);
    for row in 0..i64::from(SIDE) {
        for column in 0..i64::from(SIDE) {
            let distance =
                (column - x).pow(2) * 100 / width.pow(2) + (row - y).pow(2) * 100 / height.pow(2);
            let bright = (220 - distance).clamp(24, 220);
            pixels.push((bright + chance.between(0, 7)) as u8);
        }
    }
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let noted = encoder.add_text_chunk("Comment".to_owned(), note);
    let written = noted
        .and_then(|()| encoder.write_header())
        .and_then(|mut writer| {
            writer.write_image_data(&pixels)?;
            writer.finish()
        });
    match written {
        Ok(()) => file,
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Stream;
    use super::*;

    #[test]
    fn the_cross_reference_table_points_at_objects() {
        let file = pdf("紹介状", &["患者 太郎".to_owned()]);
        let text = String::from_utf8_lossy(&file).replace('\u{FFFD}', "?");
        let start: usize = text
            .rsplit("startxref\n")
            .next()
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(file[start..].starts_with(b"xref\n0 8\n"));
        let entries = std::str::from_utf8(&file[start..])
            .unwrap()
            .lines()
            .skip(3)
            .take(7)
            .enumerate();
        for (place, entry) in entries {
            let offset: usize = entry[..10].parse().unwrap();
            assert!(file[offset..].starts_with(format!("{} 0 obj", place + 1).as_bytes()));
        }
    }

    #[test]
    fn a_picture_decodes() {
        let file = picture(&mut Chance::of(1, Stream::Event, &[1]), "A1".to_owned());
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (SIDE, SIDE));
    }
}
