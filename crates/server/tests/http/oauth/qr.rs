//! `GET /device/qr`: a picture of our own address and of nothing else, read back by a machine. RFC 8628 §3.3.1.

use super::device::{begin, cli};
use super::*;

/// The picture, as a machine with eyes reads it.
fn read_off(svg: &str) -> String {
    let side: usize = number(svg.split_once(" width=\"").expect("a width").1);
    let mut dark = vec![false; side * side];
    let (_, path) = svg.split_once(" d=\"M").expect("a path");
    for square in path.split('"').next().expect("it ends").split('M') {
        let parts: Vec<usize> = square.split([' ', 'h', 'v', 'H', 'V']).map(number).collect();
        let [left, top, width, height] = parts[..4] else { panic!("{square}") };
        for y in top..top + height {
            dark[y * side + left..][..width].fill(true);
        }
    }
    let mut picture =
        rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| if dark[y * side + x] { 0 } else { 255 });
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1, "one code in {svg}");
    grids[0].decode().expect("readable").1
}

fn number(text: &str) -> usize {
    text.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_picture_leads_to_our_page_with_the_code_and_says_nothing_about_it() {
    let site = Site::start().await;
    let begun = begin(&site, &cli(&site, "cli").await).await;
    let picture = async |code: &str| site.send(Ask::get(format!("/device/qr?user_code={code}"))).await;
    let waiting = picture(&begun.user_code).await;
    assert_eq!((waiting.status, waiting.header("content-type")), (200, Some("image/svg+xml")));
    assert_eq!(waiting.header("content-security-policy"), Some("default-src 'none'"));
    assert_eq!(waiting.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(waiting.header("cache-control"), Some("no-store"));
    assert_eq!(read_off(&waiting.body), begun.complete);
    let nobodys = picture("bbbbbbbb").await;
    assert_eq!(nobodys.status, 200, "whether a device waits is not told");
    assert_eq!(read_off(&nobodys.body), format!("{HOME}/device?user_code=BBBB-BBBB"), "as we write it");
    for wrong in [
        "",
        "x",
        "AAAA-AAAA",
        "BBBB-BBBBB",
        "https://evil.com",
        "BBBB-BBBB%26next%3Devil",
        "BBBB-BBBB&more=1",
        "BBBB-BBBB&user_code=BBBB-BBBB",
        "%3Csvg%3E",
    ] {
        let answer = picture(wrong).await;
        assert!(
            answer.status == 400 && !answer.body.contains("<svg") && !answer.body.contains("evil"),
            "{wrong} {answer:?}"
        );
    }
    assert_eq!(site.send(Ask::get("/device/qr")).await.status, 400);
}
