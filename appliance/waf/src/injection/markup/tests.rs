use super::*;

#[test]
fn scripts_are_found_wherever_the_value_stands() {
    for value in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onfocus='alert(1)",
        "x onmouseover=alert(1)",
        "<a href=\"java&#115;cript:alert(1)\">",
        "<a href=&#x6A;avascript:1>",
        "<!DOCTYPE x>",
        "<svg/onload=1>",
        "<!--`-->",
        "<set attributename=onload to=1>",
        "<?import x>",
        "<scr\0ipt>",
    ] {
        assert!(detect_xss(value.as_bytes()), "{value}");
    }
}

#[test]
fn ordinary_text_and_markup_is_let_through() {
    for value in [
        "",
        "a < b",
        "1 = 1",
        "<b>bold</b>",
        "<a href=\"https://example.org/\">x</a>",
        "once=1",
        "x=<=>y",
        "<p class=on>",
    ] {
        assert!(!detect_xss(value.as_bytes()), "{value}");
    }
}
