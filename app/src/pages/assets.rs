//! The style, the script and the mark of the owner's pages, under an address that changes when they do.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gateway::{Path, Problem};
use http::{HeaderValue, header};

const CSS: &str = include_str!("../../assets/owner.css");
const SCRIPT: &str = include_str!("../../assets/owner.js");
const MARK: &str = include_str!("../../assets/tile.svg");

/// What part of the address stands for the content of all of them: FNV-1a, because nobody has to be kept from guessing it.
static CONTENT: LazyLock<String> = LazyLock::new(|| {
    let bytes = [CSS, SCRIPT, MARK].into_iter().flat_map(str::bytes);
    format!("{:016x}", bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
});

/// Where a file of the pages is found.
pub fn address(file: &str) -> String {
    format!("/assets/{}/{file}", *CONTENT)
}

/// The addresses of these files.
pub fn routes() -> Router {
    Router::new().route("/assets/{content}/{file}", get(serve))
}

/// `GET /assets/{content}/{file}`: kept for ever where the address is of this very content. A page of an older release, still open
/// somewhere, gets what there is.
async fn serve(Path((content, file)): Path<(String, String)>) -> Result<Response, Problem> {
    let (kind, text) = match file.as_str() {
        "owner.css" => ("text/css; charset=utf-8", CSS),
        "owner.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "tile.svg" => ("image/svg+xml", MARK),
        _ => return Err(Problem::not_found()),
    };
    let kept = if content == *CONTENT { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, HeaderValue::from_static(kept))];
    Ok((headers, text).into_response())
}
