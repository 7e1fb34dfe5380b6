//! Symbols over HTTP: drawn on demand, read back before they are handed out.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::{Call, Path, Problem, Query};
use http::{HeaderValue, header};
use serde::Deserialize;

use super::{Deps, allowed};
use crate::error::CodeError;
use crate::public_code::PublicCode;
use crate::symbol::{Background, Colour, Level, Size, Style, Symbol, SymbolError, symbol_for_text, text_of_code};
use crate::{grants, queries};

/// How a symbol shall look.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StyleQuery {
    /// Pixels of a side, the quiet zone included, up to 4,096. Instead of `module`.
    #[param(minimum = 21, maximum = 4096)]
    size: Option<u32>,
    /// Pixels of a module, 1 to 64; 8 when neither is given.
    #[param(minimum = 1, maximum = 64)]
    module: Option<u32>,
    /// The light border in modules, 0 to 16; 4 when absent, as the standard asks.
    #[param(maximum = 16)]
    quiet_zone: Option<u32>,
    /// How much may be damaged: L 7 %, M 15 %, Q 25 %, H 30 %; M when absent.
    #[param(inline)]
    level: Option<Level>,
    /// The dark colour, six hexadecimal digits; black when absent.
    #[param(example = "203060")]
    foreground: Option<String>,
    /// The light colour, six hexadecimal digits, or `transparent`; white when absent.
    #[param(example = "ffffff")]
    background: Option<String>,
}

impl StyleQuery {
    fn parse(&self) -> Result<(Level, Style), CodeError> {
        let usual = Style::default();
        let colour = |field: &str, text: &str| Colour::parse(text).map_err(|error| CodeError::field(field, error));
        let size = match (self.size, self.module) {
            (Some(_), Some(_)) => return Err(CodeError::field("size", "must not be given together with `module`")),
            (Some(side), None) => Size::Side(side),
            (None, Some(module)) => Size::Module(module),
            (None, None) => usual.size,
        };
        let background = match self.background.as_deref() {
            None => usual.background,
            Some("transparent") => Background::Transparent,
            Some(text) => Background::Colour(colour("background", text)?),
        };
        let foreground = self.foreground.as_deref().map_or(Ok(usual.foreground), |text| colour("foreground", text))?;
        let quiet_zone = self.quiet_zone.unwrap_or(usual.quiet_zone);
        Ok((self.level.unwrap_or(Level::M), Style { size, quiet_zone, foreground, background }))
    }
}

/// A code's symbol as SVG.
#[utoipa::path(get, path = "/v1/codes/{code}/symbol.svg", tag = "codes", params(("code" = String, Path), StyleQuery),
    responses((status = 200, content_type = "image/svg+xml", body = String), gateway::openapi::ErrorResponses),
    security(("session" = []), ("key" = [])))]
pub(super) async fn svg(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Query(query): Query<StyleQuery>,
) -> Result<Response, Problem> {
    answer(deps, call, code, query, "image/svg+xml", |symbol, style| symbol.svg(style).map(String::into_bytes)).await
}

/// A code's symbol as PNG.
#[utoipa::path(get, path = "/v1/codes/{code}/symbol.png", tag = "codes", params(("code" = String, Path), StyleQuery),
    responses((status = 200, content_type = "image/png", body = Vec<u8>), gateway::openapi::ErrorResponses),
    security(("session" = []), ("key" = [])))]
pub(super) async fn png(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Query(query): Query<StyleQuery>,
) -> Result<Response, Problem> {
    answer(deps, call, code, query, "image/png", Symbol::png).await
}

async fn answer(
    deps: Deps,
    call: Call,
    code: PublicCode,
    query: StyleQuery,
    kind: &'static str,
    draw: fn(&Symbol, &Style) -> Result<Vec<u8>, SymbolError>,
) -> Result<Response, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (level, style) = query.parse()?;
    queries::get(&mut deps.store.read(), workspace, code).await?;
    // Drawing and reading back takes a millisecond or two of nothing but computing.
    let drawing = tokio::task::spawn_blocking(move || {
        let symbol = symbol_for_text(&text_of_code(&deps.public_url, code), level)?;
        draw(&symbol, &style)
    });
    let file = drawing.await.map_err(Problem::internal)?.map_err(CodeError::from)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // What a code's symbol looks like never changes.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400")),
    ];
    Ok((headers, Body::from(file)).into_response())
}
