//! What a file is, by its bytes.

use std::io::{self, Read, Seek, SeekFrom};

use super::types::Kind;

/// How much of a file its signature may take.
const HEAD_BYTES: u64 = 8 * 1024;

/// Office files before 2007: OLE compound files, all with the same signature.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

const ZIP: &[u8] = b"PK\x03\x04";

/// The most entries of an Office file.
const MAX_ENTRIES: usize = 10_000;

/// Recognises a file. `ending` only tells those apart that share a signature. Returns `None` if nobody may upload it.
pub(super) fn recognise(file: &mut (impl Read + Seek), ending: Option<&str>) -> io::Result<Option<Kind>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    if head.starts_with(OLE) {
        return Ok(match ending {
            Some("doc") => Some(Kind::Doc),
            Some("xls") => Some(Kind::Xls),
            _ => None,
        });
    }
    if head.starts_with(ZIP) {
        return office(file);
    }
    if ending == Some("txt") && !is_code(&head) && is_text(file)? {
        return Ok(Some(Kind::Text));
    }
    match infer::get(&head) {
        Some(found) => Ok(Kind::of_content_type(found.mime_type())),
        None => Ok(is_text(file)?.then_some(Kind::Text)),
    }
}

/// Whether a text begins as markup, a script or a PDF does.
fn is_code(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    [&b"<"[..], b"#!", b"%PDF"].iter().any(|begin| head.starts_with(begin))
}

/// Whether there are no more entries in an archive than may be read: each has a header in the directory, which is read as
/// a whole.
fn has_few_entries(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    const ENTRY: &[u8] = b"PK\x01\x02";
    file.rewind()?;
    let (mut entries, mut buffer, mut kept) = (0, vec![0; 64 * 1024], 0);
    loop {
        let read = file.read(&mut buffer[kept..])?;
        if read == 0 {
            return Ok(true);
        }
        let filled = kept + read;
        entries += buffer[..filled].windows(ENTRY.len()).filter(|window| *window == ENTRY).count();
        if entries > MAX_ENTRIES {
            return Ok(false);
        }
        // One that stands across two pieces.
        kept = filled.min(ENTRY.len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// Recognises an Office file by the names in its archive. One with macros, or with names that leave the archive, is none.
fn office(file: &mut (impl Read + Seek)) -> io::Result<Option<Kind>> {
    if !has_few_entries(file)? {
        return Ok(None);
    }
    file.rewind()?;
    let Ok(archive) = zip::ZipArchive::new(file) else { return Ok(None) };
    let (mut kind, mut is_package, mut is_bad) = (None, false, false);
    for name in archive.file_names() {
        let Ok(name) = name else { return Ok(None) };
        let name = &*name;
        is_package |= name == "[Content_Types].xml";
        is_bad |= name.starts_with('/') || name.contains('\\') || name.split('/').any(|part| part == "..");
        is_bad |= name.to_ascii_lowercase().ends_with("vbaproject.bin");
        kind = match name {
            "word/document.xml" => Some(Kind::Docx),
            "xl/workbook.xml" => Some(Kind::Xlsx),
            _ => kind,
        };
    }
    Ok(kind.filter(|_| is_package && !is_bad))
}

/// Whether there are only characters that texts have.
fn is_text(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(true),
            length if buffer[..length].iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127)) => {
                return Ok(false);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    fn kind(bytes: &[u8], ending: &str) -> Option<Kind> {
        recognise(&mut Cursor::new(bytes), Some(ending)).unwrap()
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"x").unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn kinds_are_found_in_the_bytes() {
        assert_eq!(kind(b"%PDF-1.7 ...", "txt"), Some(Kind::Pdf));
        assert_eq!(kind(b"\xff\xd8\xff\xe0 ...", "pdf"), Some(Kind::Jpeg));
        assert_eq!(kind(b"GIF89a/*", "js"), Some(Kind::Gif));
        assert_eq!(kind(OLE, "doc"), Some(Kind::Doc));
        assert_eq!(kind(OLE, "xls"), Some(Kind::Xls));
        assert_eq!(kind(OLE, "exe"), None);
        assert_eq!(kind("Grüße\r\n".as_bytes(), "txt"), Some(Kind::Text));
        for text in ["BMW 320d, service book", "MZ-3 engine", "ID3 tags list", "FWS team", "GIF files are attached"] {
            assert_eq!(kind(text.as_bytes(), "txt"), Some(Kind::Text), "{text}");
        }
    }

    #[test]
    fn what_runs_or_lies_is_nothing() {
        for bytes in [
            &b"<!DOCTYPE html><script>"[..],
            b"<html>",
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
            b"#!/bin/sh\nrm -rf /",
            b"MZ\x90\0",
            b"\x7fELF",
            b"a\0b",
            b"PK\x03\x04 no archive",
        ] {
            assert_eq!(kind(bytes, "txt"), None, "{bytes:?}");
        }
    }

    #[test]
    fn office_files_are_packages_without_macros() {
        let docx = ["[Content_Types].xml", "_rels/.rels", "word/document.xml"];
        assert_eq!(kind(&archive(&docx), "docx"), Some(Kind::Docx));
        assert_eq!(kind(&archive(&["xl/workbook.xml", "[Content_Types].xml"]), "xlsx"), Some(Kind::Xlsx));
        for more in ["../../evil.sh", "/etc/passwd", "word/vbaProject.bin", "..\\evil"] {
            let names: Vec<_> = docx.into_iter().chain([more]).collect();
            assert_eq!(kind(&archive(&names), "docx"), None, "{more}");
        }
        assert_eq!(kind(&archive(&["readme.txt"]), "docx"), None);
        let mut many = archive(&docx);
        many.splice(4..4, b"PK\x01\x02".repeat(MAX_ENTRIES + 1));
        assert_eq!(kind(&many, "docx"), None, "its directory is not read");
    }
}
