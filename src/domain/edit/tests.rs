// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

use super::*;

const OURS: &str = "<spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' nonce='7'/>";

fn with_7(xml: &str) -> String {
    let once = with_nonce(xml.as_bytes(), "7").unwrap_or_else(|e| panic!("{e}: {xml}"));
    assert_eq!(with_nonce(&once, "7").unwrap(), once, "twice is once");
    String::from_utf8(once).unwrap()
}

#[test]
fn our_element_is_made_the_way_the_document_is_written() {
    for (before, after) in [
        ("<domain/>", "<domain><metadata>OURS</metadata></domain>"),
        ("<domain></domain>", "<domain><metadata>OURS</metadata></domain>"),
        (
            "<domain ></domain >",
            "<domain ><metadata>OURS</metadata></domain >",
        ),
        (
            "<domain><name>a</name><os/></domain>",
            "<domain><name>a</name><metadata>OURS</metadata><os/></domain>",
        ),
        (
            "<!-- c -->\n<domain type='kvm'>\n  <uuid>u</uuid>\n  <os/>\n</domain>\n",
            "<!-- c -->\n<domain type='kvm'>\n  <uuid>u</uuid>\n  <metadata>\n    OURS\n  </metadata>\n  <os/>\n</domain>\n",
        ),
        (
            "\t<domain>\r\n\t\t<metadata/>\r\n\t</domain>",
            "\t<domain>\r\n\t\t<metadata>\r\n\t\t\tOURS\r\n\t\t</metadata>\r\n\t</domain>",
        ),
        (
            "<domain>\n    <metadata >\n    </metadata>\n</domain>",
            "<domain>\n    <metadata >\n        OURS\n    </metadata>\n</domain>",
        ),
        (
            "<domain>\n <metadata><!-- c --></metadata>\n</domain>",
            "<domain>\n <metadata><!-- c -->\n  OURS\n </metadata>\n</domain>",
        ),
        (
            "<domain><metadata>\n  <a:x xmlns:a='b'/> t\n</metadata></domain>",
            "<domain><metadata>\n  <a:x xmlns:a='b'/>\n  OURS t\n</metadata></domain>",
        ),
        (
            "<domain><x:metadata xmlns:x='y'/><metadata xmlns='y'/></domain>",
            "<domain><x:metadata xmlns:x='y'/><metadata xmlns='y'/><metadata>OURS</metadata></domain>",
        ),
    ] {
        // Of where there is no quote to go by, too.
        assert_eq!(with_7(before), after.replace("OURS", OURS));
        let double = |xml: &str| xml.replace('\'', "\"");
        let ours = if before.contains('\'') {
            double(OURS)
        } else {
            OURS.to_owned()
        };
        assert_eq!(with_7(&double(before)), double(after).replace("OURS", &ours));
    }
}

#[test]
fn an_older_nonce_is_replaced_and_the_rest_of_our_element_kept() {
    for (ours, expected) in [
        (
            "<s:domain xmlns:s='NS' nonce='1'/>",
            "<s:domain xmlns:s='NS' nonce='7'/>",
        ),
        (
            "<s:domain xmlns:s='NS'\n nonce = \"&#49;\" takeover='safe' />",
            "<s:domain xmlns:s='NS'\n nonce = \"7\" takeover='safe' />",
        ),
        (
            "<domain filter='off' xmlns='NS'></domain>",
            "<domain filter='off' xmlns='NS' nonce='7'></domain>",
        ),
        (
            "<domain\txmlns='NS'><x/></domain>",
            "<domain\txmlns='NS' nonce='7'><x/></domain>",
        ),
        (
            "<x:domain xmlns:x='no' nonce='1'/><s:domain xmlns:s='NS' s:nonce='1'/>",
            "<x:domain xmlns:x='no' nonce='1'/><s:domain xmlns:s='NS' s:nonce='1' nonce='7'/>",
        ),
    ] {
        let whole = |ours: &str| {
            format!(
                "<domain><metadata>{}</metadata></domain>",
                ours.replace("NS", OUR_NAMESPACE)
            )
        };
        assert_eq!(with_7(&whole(ours)), whole(expected));
    }
}

#[test]
fn values_are_escaped_and_read_back() {
    for nonce in ["a'b\"c", "<&>", "\t\n\r", "é\u{1f600}", ""] {
        let xml = with_nonce(b"<domain/>", nonce).unwrap();
        let domain = crate::domain::scan(&xml).unwrap();
        assert_eq!(domain.settings.nonce.as_deref(), Some(nonce));
    }
}

#[test]
fn what_is_no_domain_is_refused_with_its_place() {
    for (xml, place) in [
        ("<domain>\n<x></domain>", (2, 4)),
        ("<!DOCTYPE domain>\n<domain/>", (1, 1)),
        ("\n <pool/>", (2, 2)),
        ("<domain/>\n<domain/>", (2, 1)),
    ] {
        let error = with_nonce(xml.as_bytes(), "7").unwrap_err();
        assert_eq!(error.line_column(xml.as_bytes()), place, "{xml}: {error}");
    }
}

#[test]
fn changes_that_touch_each_other_are_made_and_those_that_overlap_refused() {
    let mut edits = Edits::default();
    edits.replace(2..4, "X");
    edits.insert(4, "Y");
    edits.replace(0..2, "W");
    edits.insert(4, "Z");
    assert_eq!(edits.apply(b"aabbcc").unwrap(), b"WXYZcc");
    edits.replace(3..5, "!");
    assert!(edits.apply(b"aabbcc").is_err());
    let mut outside = Edits::default();
    outside.replace(5..9, "!");
    assert!(outside.apply(b"aabbcc").is_err());
}
