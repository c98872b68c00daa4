use super::*;

fn select(text: &str, path: &str) -> Vec<String> {
    let mut document = Document::default();
    document.read(text.as_bytes()).unwrap();
    let mut all = Vec::new();
    document.select(&Path::parse(path.as_bytes()).unwrap(), &mut |text| {
        all.push(String::from_utf8(text.to_vec()).unwrap());
    });
    all
}

const SAMPLE: &str =
    "<?xml version=\"1.0\"?><!-- c --><a x='1&amp;2'>t<b y=\"3\">u&#65;</b><![CDATA[<v>]]><b>w</b></a>";

#[test]
fn paths_pick_text_and_attributes() {
    assert_eq!(select(SAMPLE, "/*"), ["tuA<v>w"]);
    assert_eq!(select(SAMPLE, "//@*"), ["1&2", "3"]);
    assert_eq!(select(SAMPLE, "/a/b"), ["uA", "w"]);
    assert_eq!(select(SAMPLE, "/a/b[2]"), ["w"]);
    assert_eq!(select(SAMPLE, "//b/@y"), ["3"]);
    assert_eq!(select(SAMPLE, "//text()"), ["t", "uA", "<v>", "w"]);
    assert_eq!(select(SAMPLE, "//*").len(), 3);
    assert!(select(SAMPLE, "/b").is_empty());
}

#[test]
fn entities_of_the_document_are_put_in_as_what_they_stand_for_in_the_end() {
    for (value, text) in [
        ("in", "in"),
        ("&#60;script&#62;", "<script>"),
        ("&#38;#60;script>", "<script>"),
        ("&lt;b>", "<b>"),
        ("a &amp; b", "a & b"),
    ] {
        let document = format!("<!DOCTYPE a [\n<!ENTITY i \"{value}\" ><!-- c --><?p i?>]><a x='&i;'>&i;</a>");
        assert_eq!(select(&document, "/*"), [text], "{value}");
        assert_eq!(select(&document, "//@*"), [text], "{value}");
    }
    assert_eq!(
        select(
            "<!DOCTYPE a[<!ELEMENT a (#PCDATA)><!ATTLIST a b CDATA #IMPLIED>]><a>t</a>",
            "/*"
        ),
        ["t"]
    );
    assert_eq!(select("<!DOCTYPE a><a>t</a>", "/*"), ["t"]);
}

#[test]
fn a_document_type_that_brings_in_what_is_not_seen_is_refused() {
    for kind in [
        "a [<!ATTLIST a b CDATA \"&#60;script&#62;alert(1)\">]",
        "a [<!ATTLIST a b CDATA #FIXED 'x'>]",
        "a [<!ENTITY % p \"x\">]",
        "a [<!ENTITY % p SYSTEM \"http://127.0.0.1/\"> %p;]",
        "a [%p;]",
        "a [<!ENTITY e \"%p;\">]",
        "a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]",
        "a [<!ENTITY x PUBLIC \"p\" \"file:///etc/passwd\">]",
        "a [<!ENTITY x \"y\" NDATA z>]",
        "a [<!NOTATION n SYSTEM \"x\">]",
        "a [<![INCLUDE[]]>]",
        "a SYSTEM \"http://127.0.0.1/a.dtd\"",
        "a PUBLIC \"p\" \"http://127.0.0.1/a.dtd\" []",
        "a [<!ENTITY l \"lol\"><!ENTITY m \"&l;&l;\">]",
        "a [<!ENTITY l \"&#38;m;\">]",
        "a [<!ENTITY l \"&l;\">]",
        "a [",
        "a [<!ENTITY",
        "",
    ] {
        let text = format!("<!DOCTYPE {kind}><a/>");
        assert!(Document::default().read(text.as_bytes()).is_err(), "{text}");
    }
    let unknown = "<!DOCTYPE a><a>&x;</a>";
    assert!(Document::default().read(unknown.as_bytes()).is_err());
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a x=1/>",
        "<a x='1' x='2'/>",
        "<a>&no;</a>",
        "<a>&#0;</a>",
        "<a",
        "<a>]]></a>",
        "<a x='<'/>",
        "<a/>x",
        "<!-- a -- b --><a/>",
        "<a>\u{1}</a>",
        "<1/>",
        "</a>",
    ] {
        assert!(Document::default().read(text.as_bytes()).is_err(), "{text}");
    }
}
