// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Documents that are cut off, malformed, huge or odd: each gets its reason or its reading.

use spvirt::domain::{Manager, scan};

use crate::damage::is_sane;
use crate::places;

/// What is not one well-formed domain, and why.
const REFUSED: &[(&str, &str)] = &[
    ("", "no element in it"),
    (" \n", "no element in it"),
    ("<!-- x -->", "no element in it"),
    ("storpool", "text outside the root element"),
    ("<domain/>x", "text outside the root element"),
    ("&amp;<domain/>", "text outside the root element"),
    ("<domain/><![CDATA[]]>", "text outside the root element"),
    ("<domain/><domain/>", "a second root element"),
    ("<domain></domain><x>", "a second root element"),
    (
        "<domstatus><domain/></domstatus>",
        "the root element is not <domain>",
    ),
    ("<domain xmlns='urn:x'/>", "the root element is not <domain>"),
    ("<x:domain xmlns:x='urn:x'/>", "the root element is not <domain>"),
    ("<x:domain/>", "the root element is not <domain>"),
    ("<Domain/>", "the root element is not <domain>"),
    ("<!DOCTYPE domain><domain/>", "a document type declaration"),
    (
        "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain>&a;</domain>",
        "a document type declaration",
    ),
    ("<domain>", "the document is cut off"),
    ("<domain><a", "the document is cut off"),
    ("<domain><a b='", "the document is cut off"),
    ("<domain><!-- ", "the document is cut off"),
    ("<domain><![CDATA[ ]]", "the document is cut off"),
    ("<domain></a>", "an end tag that does not match"),
    ("<domain></domain x='y'>", "an end tag that does not match"),
    ("</domain>", "an end tag that does not match"),
    ("<domain/></domain>", "an end tag that does not match"),
    ("<domain>&nbsp;</domain>", "an unknown reference"),
    ("<domain>&#0;</domain>", "an unknown reference"),
    ("<domain>&#xD800;</domain>", "an unknown reference"),
    ("<domain>&#x1b;</domain>", "an unknown reference"),
    ("<domain>&#65</domain>", "a reference without its semicolon"),
    ("<domain>a & b</domain>", "a reference without its semicolon"),
    ("<domain a='&nbsp;'/>", "an attribute value that is not one"),
    ("<domain a='&#1;'/>", "an attribute value that is not one"),
    ("<domain a='&'/>", "an attribute value that is not one"),
    ("<domain a='<'/>", "an attribute value that is not one"),
    ("<domain a='1' a='2'/>", "attributes that are not well formed"),
    ("<domain a=1/>", "attributes that are not well formed"),
    ("<domain a/>", "attributes that are not well formed"),
    ("<domain a='1'b='2'/>", "an attribute name that is not one"),
    ("<domain 1='1'/>", "an attribute name that is not one"),
    ("<domain><1/></domain>", "an element name that is not one"),
    ("<domain>< a/></domain>", "an element name that is not one"),
    ("<domain><a/ ></a/></domain>", "an element name that is not one"),
    (
        "<domain>]]></domain>",
        "the end of a CDATA section that never began",
    ),
    ("<domain><!-- a -- b --></domain>", "two hyphens in a comment"),
    ("<domain><!x></domain>", "unknown markup"),
    (
        "<domain><? x?></domain>",
        "a processing instruction without a name",
    ),
    (
        " <?xml version='1.0'?><domain/>",
        "an XML declaration that is not at the start",
    ),
    (
        "<domain><?xml version='1.0'?></domain>",
        "an XML declaration that is not at the start",
    ),
    (
        "<?xml encoding='utf-8'?><domain/>",
        "an XML declaration without a version",
    ),
    (
        "<?xml version='1.0' encoding='latin1'?><domain/>",
        "an encoding other than UTF-8",
    ),
    ("<domain>\0</domain>", "a control character or NUL byte"),
    ("<domain/>\0", "a control character or NUL byte"),
    ("\u{feff}\u{feff}<domain/>", "two byte order marks"),
    (
        "<domain xmlns:xmlns='x'/>",
        "a namespace declaration that is not allowed",
    ),
];

#[test]
fn a_document_cut_off_anywhere_is_refused() {
    let whole = places::EVERY_PLACE;
    let root_end = whole.find("</domain>").unwrap() + "</domain>".len();
    for end in 0..whole.len() {
        let rest = &whole[root_end.min(end)..end];
        let complete = end >= root_end && (rest.is_empty() || rest.ends_with("-->"));
        assert_eq!(
            scan(&whole.as_bytes()[..end]).is_ok(),
            complete,
            "cut off at {end}"
        );
    }
}

#[test]
fn what_is_not_one_well_formed_domain_is_refused_with_the_reason() {
    let deep = format!("<domain>{}", "<a>".repeat(100_000));
    let declarations: Vec<String> = (0..1000).map(|i| format!("xmlns:n{i}='x' ")).collect();
    let many = format!("<domain {}/>", declarations.concat());
    let made = [
        (many.as_str(), "a namespace declaration that is not allowed"),
        (&deep, "nested too deeply"),
    ];
    for (xml, reason) in REFUSED.iter().copied().chain(made) {
        let short: String = xml.chars().take(80).collect();
        let error = scan(xml.as_bytes()).expect_err(&short);
        assert_eq!(error.reason, reason, "{short}");
        is_sane(xml.as_bytes());
    }
    for bytes in [
        &b"<domain>\xff</domain>"[..],
        b"\xff\xfe<\0d\0",
        b"<domain a='\xc3'/>",
    ] {
        assert!(scan(bytes).is_err());
    }
    let error = scan(b"<domain>\n <a>\n  </b>").unwrap_err();
    assert_eq!(
        (error.offset, error.line_column(b"<domain>\n <a>\n  </b>")),
        (16, (3, 3))
    );
    assert_eq!(error.to_string(), "an end tag that does not match (at byte 16)");
}

#[test]
fn odd_but_well_formed_documents_are_read_as_xml_says() {
    for (xml, path) in [
        (
            "\u{feff}<domain><devices><disk><source file='/a'/></disk></devices></domain>",
            "/a",
        ),
        (
            "<?xml version='1.0' encoding=\"US-ASCII\"?>\r\n<!----><?x?><domain><devices><disk><source file='/a'/></disk></devices></domain>",
            "/a",
        ),
        (
            "<domain\n><devices\t><disk\r\n><source\nfile\n=\n'/a'\n></source\n></disk ></devices></domain\n>\r\n<!-- -->",
            "/a",
        ),
        (
            "<domain><devices><disk><source file='a\tb\r\nc\rd\ne&#10;&#9;'/></disk></devices></domain>",
            "a b c d e\n\t",
        ),
        (
            "<domain><devices><disk><source file='&lt;&gt;&amp;&quot;&apos;&#233;&amp;lt;>\"]]>'/></disk></devices></domain>",
            "<>&\"'é&lt;>\"]]>",
        ),
        (
            "<domain><os><nvram>\r\n&#32;a\r\nb&amp;<![CDATA[ <&amp; ]]>\r\n</nvram></os></domain>",
            " a\nb& <&amp; ",
        ),
        ("<domain><os><nvram>/a<b>c</b>d</nvram></os></domain>", "/ad"),
        (
            "<domain><devices><disk type='&#102;ile'><source file='/a' x:file='/b'/></disk></devices></domain>",
            "/a",
        ),
        (
            "<domain><devices xmlns='urn:x'/><devices><a xmlns='urn:y'/><disk><source file='/a'/></disk></devices></domain>",
            "/a",
        ),
        (
            "<domain xmlns:a='urn:a'><devices><disk xmlns=''><source file='/a'/></disk></devices></domain>",
            "/a",
        ),
    ] {
        let domain = scan(xml.as_bytes()).unwrap_or_else(|e| panic!("{e}: {xml}"));
        let paths: Vec<_> = domain.sources.iter().map(|source| source.path.as_str()).collect();
        assert_eq!(paths, [path], "{xml}");
        is_sane(xml.as_bytes());
    }
    for xml in [
        "<domain><os><nvram/></os></domain>",
        "<domain><os><nvram> \n</nvram></os></domain>",
        "<domain/>",
    ] {
        assert_eq!(scan(xml.as_bytes()).unwrap().sources, []);
    }
}

#[test]
fn the_domains_name_manager_and_settings_are_read() {
    let xml = "<domain><name> a&amp;<![CDATA[<b>]]>\n</name><uuid>\n0A0B0C0D111122223333444455556666 </uuid>
        <metadata><x:domain xmlns:x='urn:other' takeover='always'/>
        <spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' takeover='ne&#118;er' manage='' nonce='7'/>
        <spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' takeover='always' filter='tune'/>
        <nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata></domain>";
    let domain = scan(xml.as_bytes()).unwrap();
    assert_eq!(domain.name, " a&<b>\n");
    assert_eq!(
        domain.uuid.unwrap().as_str(),
        "0a0b0c0d-1111-2222-3333-444455556666"
    );
    assert_eq!(domain.manager, Some(Manager::Nova));
    let settings = domain.settings;
    assert_eq!(settings.takeover.as_deref(), Some("never"));
    assert_eq!(
        (
            settings.manage.as_deref(),
            settings.filter,
            settings.nonce.as_deref()
        ),
        (Some(""), None, Some("7"))
    );
    for (uri, manager) in [
        ("http://openstack.org/xmlns/libvirt/nova/1.0", Some(Manager::Nova)),
        (
            "http://opennebula.org/xmlns/libvirt/1.0",
            Some(Manager::OpenNebula),
        ),
        ("http://ovirt.org/vm/1.0", Some(Manager::OVirt)),
        ("http://libosinfo.org/xmlns/libvirt/domain/1.0", None),
    ] {
        let inside = format!("<domain><metadata><x xmlns='{uri}'/></metadata></domain>");
        assert_eq!(scan(inside.as_bytes()).unwrap().manager, manager);
        let outside = format!("<domain><devices><x xmlns='{uri}'/></devices></domain>");
        assert_eq!(scan(outside.as_bytes()).unwrap().manager, None);
        let declared = format!("<domain><metadata xmlns:x='{uri}'><a/></metadata></domain>");
        assert_eq!(scan(declared.as_bytes()).unwrap().manager, None);
    }
}

#[test]
fn sixteen_mebibytes_are_read() {
    let size = 16 << 20;
    let text = format!("<domain><description>{}</description></domain>", "x".repeat(size));
    assert_eq!(scan(text.as_bytes()).unwrap().sources, []);
    let attributes: Vec<String> = (0..size / 20).map(|i| format!(" attribute{i}='{i}'")).collect();
    assert_eq!(
        scan(format!("<domain{}/>", attributes.concat()).as_bytes())
            .unwrap()
            .sources,
        []
    );
    let disk = "<disk type='block'><source dev='/dev/storpool/x'/><target dev='vda'/></disk>";
    let disks = format!(
        "<domain><devices>{}</devices></domain>",
        disk.repeat(size / disk.len())
    );
    assert_eq!(scan(disks.as_bytes()).unwrap().sources.len(), size / disk.len());
    assert!(scan(&disks.as_bytes()[..size - 100]).is_err());
}

#[test]
fn a_chain_as_long_as_libvirt_allows_is_read_to_its_end() {
    let chain = "<backingStore type='block'><source dev='/dev/storpool/x'/>".repeat(200);
    let xml = format!(
        "<domain><devices><disk>{chain}{}</disk></devices></domain>",
        "</backingStore>".repeat(200)
    );
    assert_eq!(scan(xml.as_bytes()).unwrap().sources.len(), 200);
}

#[test]
fn the_word_storpool_is_found_anywhere() {
    use spvirt::domain::mentions_storpool;
    for yes in [&b"storpool"[..], b"\0\xff/dev/storpool-byid/a", b"sstorpool"] {
        assert!(mentions_storpool(yes));
    }
    for no in [&b""[..], b"storpoo", b"stor pool", b"StorPool"] {
        assert!(!mentions_storpool(no));
    }
}
