//! Request bodies: each processor reads any bytes without a panic, and finds no more than there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_waf::body::{json, multipart, urlencoded, xml};

fuzz_target!(|data: &[u8]| {
    let mut size = 0;
    urlencoded::pairs(data, b'&', &mut |name, value| size += name.len() + value.len());
    assert!(size <= data.len());

    let mut leaves = 0;
    let read = json::leaves(data, 64, &mut |_, _| leaves += 1);
    assert!(leaves <= data.len());
    if std::str::from_utf8(data).is_ok() {
        let strict = serde_json::from_slice::<serde_json::Value>(data);
        // Ours goes less deep, writes half surrogates as a mark, and reads numbers that no machine number holds.
        if read.is_err() && strict.is_ok() {
            assert!(data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 64);
        }
    }

    let (content_type, body) = data.split_at(data.len().min(64));
    for content_type in [content_type, b"multipart/form-data; boundary=x"] {
        let read = multipart::read(content_type, body, 16);
        let held: usize = read.parts.iter().map(|part| part.content.len()).sum();
        assert!(held <= body.len());
    }

    let mut document = xml::Document::default();
    if document.read(data).is_ok() {
        for path in ["/*", "//@*", "//*", "//a/b[1]", "//text()"] {
            let path = xml::Path::parse(path.as_bytes()).expect("a supported path");
            document.select(&path, &mut |_| {});
        }
        document.leaves(&mut |_, _| {});
    } else {
        assert!(document.is_empty());
    }
});
