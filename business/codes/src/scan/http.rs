//! Scans over HTTP: the series of a code as JSON and CSV, and whether one is told of its scans.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::{Answer, Call, Json, Path, Problem, Query, effect};
use http::{HeaderValue, header};
use kernel::{FieldFault, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::commands::{self, AlertSetting};
use super::error::ScanError;
use super::queries::{self, By, Span};
use super::sketch::Sketch;
use super::tally::{Breakdown, Counts};
use crate::{PublicCode, grants};

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where scans are counted.
    pub store: Store,
}

/// The routes of scans.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(scans)).routes(routes!(table)).routes(routes!(alert, put_alert)).with_state(deps)
}

/// Which stretch of a series is wanted.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ScansQuery {
    /// How fine: `minute` (a day at most), `hour` (31 days) or `day` (400 days); `day` when absent.
    #[serde(default)]
    #[param(value_type = Option<By>)]
    by: Option<By>,
    /// From when, RFC 3339; the last hour, day or 30 days when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Until when, RFC 3339, not included; now when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
}

impl ScansQuery {
    fn span(&self, now: Timestamp) -> Result<Span, ScanError> {
        let time = |field: &'static str, text: &Option<String>| {
            let parsed = text.as_deref().map(Timestamp::parse).transpose();
            parsed.map_err(|error| ScanError::Invalid(FieldFault::new(field, format!("is {error}"))))
        };
        Span::new(self.by.unwrap_or_default(), time("from", &self.from)?, time("to", &self.to)?, now)
    }
}

/// One step of a series.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PointView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Scans by people; double scans count once.
    pub scans: i64,
    /// Different devices, in a series by day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub visitors: Option<u64>,
}

/// How often a word occurred.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CountView {
    /// The word, for example `phone`.
    pub name: String,
    /// Scans by people.
    pub scans: i64,
}

/// By what scans are told apart; each at most 50 words and `other`, most first.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BreakdownView {
    /// Kinds of device.
    pub device: Vec<CountView>,
    /// Systems.
    pub system: Vec<CountView>,
    /// Browsers.
    pub browser: Vec<CountView>,
    /// Hosts of the pages that led here.
    pub referrer: Vec<CountView>,
    /// First languages of the browsers.
    pub language: Vec<CountView>,
    /// Countries.
    pub place: Vec<CountView>,
    /// Networks, where addresses are recorded.
    pub network: Vec<CountView>,
}

impl From<&Breakdown> for BreakdownView {
    fn from(all: &Breakdown) -> Self {
        let view = |counts: &Counts| counts.ranked().into_iter().map(|(name, scans)| CountView { name: name.to_owned(), scans }).collect();
        Self {
            device: view(&all.device),
            system: view(&all.system),
            browser: view(&all.browser),
            referrer: view(&all.referrer),
            language: view(&all.language),
            place: view(&all.place),
            network: view(&all.network),
        }
    }
}

/// The scans of a code.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScansView {
    /// The code.
    #[schema(value_type = String)]
    pub code: PublicCode,
    /// How fine the series is.
    pub by: By,
    /// When its first step begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When its last step ends.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// The steps, those without scans included.
    pub points: Vec<PointView>,
    /// Scans of these steps.
    pub scans: i64,
    /// The visitors of each day of these steps, added up. A device is told apart within one day only, so somebody who came on
    /// three days is in it three times.
    pub sum_of_daily_visitors: u64,
    /// Scans by people since the code exists.
    pub total_scans: i64,
    /// Scans by programs since the code exists.
    pub total_bots: i64,
    /// Double scans since the code exists.
    pub total_doubles: i64,
    /// When it was scanned last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub last_scan_at: Option<Timestamp>,
    /// By what the scans of these days are told apart; days are taken whole.
    pub breakdown: BreakdownView,
}

/// The workspace of a caller who may see this code.
async fn allowed(deps: &Deps, call: &Call, code: PublicCode) -> Result<WorkspaceId, Problem> {
    let workspace = call.caller()?.may(grants::READ).map_err(ScanError::from)?;
    if queries::is_of_workspace(&mut deps.store.read(), workspace, code).await? { Ok(workspace) } else { Err(ScanError::NotFound.into()) }
}

async fn view(deps: &Deps, workspace: WorkspaceId, code: PublicCode, span: Span) -> Result<ScansView, Problem> {
    let mut read = deps.store.read();
    let series = queries::series(&mut read, workspace, code, span).await?;
    let totals = queries::totals(&mut read, workspace, code).await?;
    let (mut breakdown, mut sketches) = (Breakdown::default(), std::collections::BTreeMap::<i64, Sketch>::new());
    for (number, day) in queries::days(&mut read, workspace, code, span).await? {
        breakdown.merge(&day.breakdown);
        sketches.entry(number).or_default().merge(&day.visitors);
    }
    let visitors_on = |at: Timestamp| sketches.get(&at.day()).map_or(0, Sketch::count);
    let points = series.points.iter().map(|point| PointView {
        at: point.at,
        scans: point.scans,
        visitors: (span.by() == By::Day).then(|| visitors_on(point.at)),
    });
    Ok(ScansView {
        code,
        by: span.by(),
        from: span.from(),
        to: span.to(),
        points: points.collect(),
        scans: series.scans,
        sum_of_daily_visitors: sketches.values().map(Sketch::count).sum(),
        total_scans: totals.total,
        total_bots: totals.bots,
        total_doubles: totals.doubles,
        last_scan_at: (totals.last_at > 0).then(|| Timestamp::from_micros(totals.last_at)),
        breakdown: BreakdownView::from(&breakdown),
    })
}

/// The scans of a code by minute, hour or day, with totals, visitors and by what they are told apart.
#[utoipa::path(get, path = "/v1/codes/{code}/scans", tag = "scans", params(("code" = String, Path), ScansQuery),
    responses((status = 200, body = ScansView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn scans(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Query(query): Query<ScansQuery>,
) -> Result<Answer<ScansView>, Problem> {
    let workspace = allowed(&deps, &call, code).await?;
    let span = query.span(deps.store.clock().now())?;
    Ok(Answer::ok(view(&deps, workspace, code, span).await?))
}

/// The same series as a table. It holds times and numbers only, so that it opens safely in a spreadsheet.
#[utoipa::path(get, path = "/v1/codes/{code}/scans.csv", tag = "scans", params(("code" = String, Path), ScansQuery),
    responses((status = 200, content_type = "text/csv", body = String), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn table(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Query(query): Query<ScansQuery>,
) -> Result<Response, Problem> {
    let workspace = allowed(&deps, &call, code).await?;
    let span = query.span(deps.store.clock().now())?;
    let view = view(&deps, workspace, code, span).await?;
    let table = csv_of(&view).map_err(Problem::internal)?;
    let name = format!("attachment; filename=\"scans-{code}.csv\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(name).map_err(Problem::internal)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, table).into_response())
}

fn csv_of(view: &ScansView) -> Result<Vec<u8>, csv::Error> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let is_by_day = view.by == By::Day;
    table.write_record(if is_by_day { &["at", "scans", "visitors"][..] } else { &["at", "scans"] })?;
    for point in &view.points {
        let (at, scans) = (point.at.to_string(), point.scans.to_string());
        match point.visitors.filter(|_| is_by_day) {
            Some(visitors) => table.write_record([at, scans, visitors.to_string()])?,
            None => table.write_record([at, scans])?,
        }
    }
    table.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))
}

/// Whether, and how often, the caller is told of the scans of a code.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertView {
    /// Whether they are told.
    pub told: bool,
    /// At most once in so many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub interval_minutes: Option<i64>,
    /// When they were told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub last_told_at: Option<Timestamp>,
}

impl From<Option<AlertSetting>> for AlertView {
    fn from(setting: Option<AlertSetting>) -> Self {
        Self {
            told: setting.is_some(),
            interval_minutes: setting.map(|setting| setting.interval_seconds / 60),
            last_told_at: setting.and_then(|setting| setting.last_told_at),
        }
    }
}

/// Whether the caller wants to be told of the scans of a code.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AlertBody {
    /// Whether to be told.
    told: bool,
    /// At most once in so many minutes, 1 to 10,080; 10 when absent.
    interval_minutes: Option<i64>,
}

/// Whether the caller is told of the scans of a code.
#[utoipa::path(get, path = "/v1/codes/{code}/alerts", tag = "scans", params(("code" = String, Path)),
    responses((status = 200, body = AlertView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn alert(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<AlertView>, Problem> {
    let workspace = allowed(&deps, &call, code).await?;
    let member = call.caller()?.member().ok_or(ScanError::NotAPerson)?;
    let setting = commands::alert_of(&mut deps.store.read(), workspace, code, member).await?;
    Ok(Answer::ok(AlertView::from(setting)))
}

/// Has the caller, a person, told of the scans of a code, at most once in so many minutes and never of bots, or not any more.
#[utoipa::path(put, path = "/v1/codes/{code}/alerts", tag = "scans", params(("code" = String, Path)), request_body = AlertBody,
    responses((status = 200, body = AlertView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn put_alert(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Json(body): Json<AlertBody>,
) -> Result<Answer<AlertView>, Problem> {
    effect(&deps.store, &call, (code, body), |tx, (code, body)| {
        Box::pin(async move {
            let interval_seconds = body.told.then(|| body.interval_minutes.unwrap_or(10).saturating_mul(60));
            Ok(AlertView::from(commands::set_alert(tx, code, interval_seconds).await?))
        })
    })
    .await
}
