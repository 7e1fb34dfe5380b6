//! What is printed is read by a decoder that nobody here wrote: Debian's zbar.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::client::PUBLIC_URL;
use crate::parties::has_tool;
use crate::world::World;

const ZBAR: &str = "/usr/bin/zbarimg";

/// What zbar reads in a picture.
fn read(file: &Path) -> String {
    let out = Command::new(ZBAR).args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(file).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim_end_matches('\n').to_owned()
}

/// The dark modules of our own SVG as a picture that zbar reads (PGM): each path command of it is a horizontal run.
fn picture_of(svg: &str, scale: usize) -> Vec<u8> {
    let side: usize = between(svg, "viewBox=\"0 0 ", " ").parse().unwrap();
    let runs = between(svg, "stroke=\"#000\" d=\"", "\"");
    let mut modules = vec![255_u8; side * side];
    let (mut x, mut y) = (0_f64, 0_f64);
    let (mut at, bytes) = (0, runs.as_bytes());
    let number = |at: &mut usize| -> f64 {
        while matches!(bytes[*at], b' ' | b',') {
            *at += 1;
        }
        let start = *at;
        while *at < bytes.len() && (bytes[*at].is_ascii_digit() || bytes[*at] == b'.' || (*at == start && bytes[*at] == b'-')) {
            *at += 1;
        }
        runs[start..*at].parse().unwrap()
    };
    while at < bytes.len() {
        let command = bytes[at];
        at += 1;
        match command {
            b'M' => (x, y) = (number(&mut at), number(&mut at)),
            b'm' => {
                x += number(&mut at);
                y += number(&mut at);
            }
            b'h' => {
                let length = number(&mut at);
                let (row, from, to) = (y as usize, x as usize, (x + length) as usize);
                modules[row * side + from..row * side + to].fill(0);
                x += length;
            }
            other => panic!("{} is no command of ours", other as char),
        }
    }
    let mut picture = format!("P5 {0} {0} 255\n", side * scale).into_bytes();
    for row in modules.chunks(side) {
        for _ in 0..scale {
            picture.extend(row.iter().flat_map(|module| std::iter::repeat_n(*module, scale)));
        }
    }
    picture
}

fn between(text: &str, before: &str, after: &str) -> String {
    let at = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    text[at..].split(after).next().unwrap().to_owned()
}

fn keep(world: &World, name: &str, bytes: &[u8]) -> PathBuf {
    let path = world.place.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn every_style_of_a_symbol_is_read_by_zbar_as_the_code_that_was_asked_for() {
    if !has_tool(ZBAR, "zbar-tools") {
        return;
    }
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let styles = [
        "",
        "?size=200",
        "?size=1024&level=H",
        "?module=3&level=L",
        "?module=16&quiet_zone=8&level=Q",
        "?module=6&foreground=203060&background=fff4e0",
        "?module=5&foreground=7a1030&quiet_zone=2",
        "?size=333&foreground=004020&background=f0fff0&level=H",
    ];
    for (index, style) in styles.iter().enumerate() {
        let code = ada.post("/v1/codes", json!({})).await.expect(201).at("/code");
        let png = ada.get(&format!("/v1/codes/{code}/symbol.png{style}")).await.expect(200);
        assert_eq!(png.header("content-type"), "image/png");
        let text = read(&keep(&world, &format!("symbol-{index}.png"), &png.bytes));
        assert_eq!(text.to_uppercase(), format!("{PUBLIC_URL}/{code}").to_uppercase(), "style {style:?}");
        // What is in the symbol opens, whatever case it is in.
        let path = text.to_lowercase().replace(&PUBLIC_URL.to_lowercase(), "");
        world.stranger().page(&path).await.expect(404);
    }
    ada.get("/v1/codes").await.expect(200);
    // What nobody could read is not drawn.
    let code = ada.post("/v1/codes", json!({})).await.expect(201).at("/code");
    ada.get(&format!("/v1/codes/{code}/symbol.png?foreground=fff0f0")).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offline_symbol_of_a_card_is_read_by_zbar_as_its_contact() {
    if !has_tool(ZBAR, "zbar-tools") {
        return;
    }
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    for name in ["Ada Lovelace", "Zoë Ångström-Müller", "李小龍"] {
        let made = world.card(&mut ada, name, "ada@engines.example").await;
        let svg = world.stranger().get(&format!("/c/{}/qr.svg", made.card)).await.expect(200).text();
        let contact = read(&keep(&world, "offline.pgm", &picture_of(&svg, 6)));
        assert!(contact.starts_with("BEGIN:VCARD") && contact.contains(name) && contact.contains("ada@engines.example"), "{contact}");
    }
}
