use std::io::{Read, Write};
fn main() {
    let mut s = Vec::new();
    std::io::stdin().read_to_end(&mut s).unwrap();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut i = 0;
    while i + 4 <= s.len() {
        let n = u32::from_le_bytes(s[i..i + 4].try_into().unwrap()) as usize;
        let v = &s[i + 4..i + 4 + n];
        i += 4 + n;
        let mut o = [0u8; 10];
        if let Some(f) = redan_waf::injection::detect_sqli(v) {
            o[0] = 1;
            let b = f.as_bytes();
            o[2..2 + b.len().min(8)].copy_from_slice(&b[..b.len().min(8)]);
        }
        o[1] = u8::from(redan_waf::injection::detect_xss(v));
        out.write_all(&o).unwrap();
    }
}
