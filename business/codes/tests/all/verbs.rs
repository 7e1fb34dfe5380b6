//! Verbs and statements, as other modules use them.

use std::collections::HashSet;
use std::time::Duration;

use codes::commands::{self, Edit, asked};
use codes::label::{Name, Tags};
use codes::queries::{self, Cursor, Filter};
use codes::{
    BatchId, CodeError, CodeState, Destination, NewCode, Opens, Parameters, PublicCode, Recording, RecordingChoice, StepError, TargetUrl,
};
use kernel::{Caller, Fault};

use crate::world::{PUBLIC_URL, World, key, workspace};

fn card(n: u32) -> Destination {
    Destination::thing("card", format!("card_{n}")).unwrap()
}

fn url(text: &str) -> TargetUrl {
    TargetUrl::parse(text, PUBLIC_URL).unwrap()
}

/// Runs one verb as its own unit.
macro_rules! unit {
    ($world:expr, $input:expr, |$tx:ident, $name:pat_param| $verb:expr) => {
        $world.store.write(&Caller::system("test"), $input, |$tx, $name| Box::pin(async move { $verb.await })).await
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let world = World::new().await;
    let failed = world.store.prepare_all(codes::STATEMENTS).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_minted_bound_rebound_and_found_by_a_scan() {
    let world = World::new().await;
    let minted = world.mint(NewCode::default()).await;
    assert_eq!((minted.state.clone(), minted.version), (CodeState::Minted, 1));
    let bound = unit!(world, minted.code, |tx, code| commands::bind(tx, workspace(1), code, card(1))).unwrap();
    assert_eq!((bound.state.clone(), bound.version), (CodeState::Live(card(1)), 2));
    let again = unit!(world, minted.code, |tx, code| commands::bind(tx, workspace(1), code, card(1))).unwrap();
    assert_eq!(again.version, 2, "nothing changed, so nothing was written");
    let moved = unit!(world, minted.code, |tx, code| commands::reassign(tx, workspace(1), code, &card(1), card(2))).unwrap();
    assert_eq!(moved.version, 3);
    let refused = unit!(world, minted.code, |tx, code| commands::reassign(tx, workspace(1), code, &card(1), card(3))).unwrap_err();
    assert!(matches!(refused, CodeError::LeadsElsewhere));
    let resolved = queries::resolve_everywhere(&mut world.store.read(), minted.code).await.unwrap().unwrap();
    assert_eq!((resolved.workspace, resolved.version, resolved.recording), (workspace(1), 3, Recording::default()));
    assert_eq!(resolved.opens(world.store.clock().now()), Opens::Destination(&card(2)));
    let of_card = queries::of_thing(&mut world.store.read(), workspace(1), "card", "card_2", 10).await.unwrap();
    assert_eq!(of_card.iter().map(|code| code.code).collect::<Vec<_>>(), [minted.code]);
    assert_eq!(queries::of_thing(&mut world.store.read(), workspace(2), "card", "card_2", 10).await.unwrap(), []);
    let unknown = PublicCode::from_number(minted.code.number() ^ 1).unwrap();
    assert_eq!(queries::resolve_everywhere(&mut world.store.read(), unknown).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_the_state_is_told_and_kept_in_the_trail() {
    let world = World::new().await;
    let code = world.mint(NewCode { destination: Some(card(1)), ..NewCode::default() }).await.code;
    let next_moment = || world.store.clock().advance(Duration::from_millis(1));
    next_moment();
    let paused = unit!(world, code, |tx, code| commands::pause(tx, workspace(1), code)).unwrap();
    assert_eq!(paused.state, CodeState::Paused(card(1)));
    next_moment();
    unit!(world, code, |tx, code| commands::bind(tx, workspace(1), code, Destination::Url(url("https://example.com/secret?who=ada"))))
        .unwrap();
    next_moment();
    unit!(world, code, |tx, code| commands::resume(tx, workspace(1), code)).unwrap();
    next_moment();
    unit!(world, code, |tx, code| commands::release(tx, workspace(1), code)).unwrap();
    let refused = unit!(world, code, |tx, code| commands::pause(tx, workspace(1), code)).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("code_not_bound", kernel::Kind::Conflict));
    next_moment();
    unit!(world, code, |tx, code| commands::retire(tx, workspace(1), code)).unwrap();
    let refused = unit!(world, code, |tx, code| commands::bind(tx, workspace(1), code, card(1))).unwrap_err();
    assert!(matches!(refused, CodeError::Step(StepError::Retired)));

    let trail = outbox::audit_of_subject(&mut world.store.read(), workspace(1), &code.to_string(), None, 20).await.unwrap();
    let actions: Vec<&str> = trail.iter().rev().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["code.minted", "code.paused", "code.bound", "code.resumed", "code.released", "code.retired"]);
    assert_eq!(trail[3].details["destination"]["host"], "example.com");
    assert_eq!(trail[3].details["before"]["id"], "card_1");
    assert!(trail.iter().all(|line| !line.details.to_string().contains("ada")), "the trail keeps no whole address");

    // On PostgreSQL a transaction of somebody else may hold the log back for a moment.
    let mut facts = Vec::new();
    for _ in 0..1_000 {
        let mut read = world.store.read();
        facts = outbox::facts_after(&mut read, workspace(1), outbox::Position::default(), "codes.changed", 20).await.unwrap();
        if facts.len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let told: Vec<codes::events::CodeChanged> = facts.iter().map(|entry| entry.decode().unwrap()).collect();
    assert_eq!(told.iter().map(|fact| fact.version).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert_eq!(told[1].before.as_ref().unwrap().id.as_deref(), Some("card_1"));
    assert!(facts.iter().all(|entry| !entry.payload.contains("example.com")), "facts carry no addresses");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspaces_code_does_not_exist() {
    let world = World::new().await;
    let code = world.mint(NewCode { destination: Some(card(1)), ..NewCode::default() }).await.code;
    let refused = unit!(world, code, |tx, code| commands::bind(tx, workspace(2), code, card(2))).unwrap_err();
    assert!(matches!(refused, CodeError::NotFound));
    assert_eq!(queries::find(&mut world.store.read(), workspace(2), code).await.unwrap(), None);
    let stranger = world.store.write(&Caller::Visitor { workspace: workspace(1) }, code, |tx, code| Box::pin(asked::pause(tx, code))).await;
    assert!(matches!(stranger, Err(CodeError::NotAllowed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_codes_are_minted_in_steps_by_whoever_comes_and_none_twice() {
    let world = World::new().await;
    let new = NewCode { name: Name::parse("Shelf").unwrap(), tags: Tags::parse(&["autumn"]).unwrap(), ..NewCode::default() };
    let minted = unit!(world, new, |tx, new| commands::mint_many(tx, workspace(1), 10_000, new)).unwrap();
    assert_eq!(minted.codes.iter().collect::<HashSet<_>>().len(), 10_000);
    assert!(minted.left > 0);
    let fill = |id: BatchId| {
        let store = world.store.clone();
        async move {
            let (caller, mut steps) = (Caller::system("test"), 0);
            loop {
                let left = store.write_bulk(&caller, id, |tx, id| Box::pin(commands::fill_batch(tx, workspace(1), id)));
                steps += 1;
                if left.await.unwrap_or_else(|error: CodeError| panic!("{error:?}")) == 0 {
                    return steps;
                }
            }
        }
    };
    let (one, other) = tokio::join!(fill(minted.batch), fill(minted.batch));
    assert!(one + other >= 10);

    let filter = Filter { batch: Some(minted.batch), ..Filter::default() };
    let (mut found, mut cursor) = (HashSet::new(), None);
    loop {
        let page = queries::list(&mut world.store.read(), workspace(1), &filter, cursor, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Cursor::parse(&Cursor::after(last).to_string());
        found.extend(page.iter().map(|code| code.code));
    }
    assert_eq!(found, minted.codes.iter().copied().collect());
    let tagged = Filter { tag: Some("autumn".to_owned()), ..Filter::default() };
    assert_eq!(queries::list(&mut world.store.read(), workspace(1), &tagged, None, 10).await.unwrap().len(), 10);
    assert_eq!(queries::list(&mut world.store.read(), workspace(2), &tagged, None, 10).await.unwrap().len(), 0);
    let refused = unit!(world, (), |tx, ()| commands::mint_many(tx, workspace(1), 10_001, NewCode::default())).unwrap_err();
    assert!(matches!(refused, CodeError::Count));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_cut_off_is_finished_by_its_job() {
    let world = World::new().await;
    let minted = unit!(world, (), |tx, ()| commands::mint_many(tx, workspace(1), 2_500, NewCode::default())).unwrap();
    let outbox = outbox::Outbox::builder(store::Store::clone(&world.store))
        .lane("upkeep", 1)
        .job::<codes::jobs::FillBatch, _>(|job, context| Box::pin(async move { job.run(&context).await }))
        .by_hand()
        .start()
        .await
        .unwrap();
    outbox::testing::drain(&outbox).await.unwrap();
    let last = *minted.codes.last().unwrap();
    assert_eq!(queries::find(&mut world.store.read(), workspace(1), last).await.unwrap(), None, "its time has not come");
    world.store.clock().advance(Duration::from_secs(6));
    outbox::testing::drain(&outbox).await.unwrap();
    assert!(queries::find(&mut world.store.read(), workspace(1), last).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_mint_at_once_never_get_the_same_code() {
    let world = World::new().await;
    let mint = |n: u128| {
        let store = world.store.clone();
        async move {
            let caller = Caller::system("test");
            let unit = store.write(&caller, n, |tx, n| Box::pin(commands::mint(tx, workspace(n % 3), NewCode::default())));
            unit.await.unwrap_or_else(|error: CodeError| panic!("{error:?}")).code
        }
    };
    let codes = futures_util::future::join_all((0..64).map(mint)).await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 64);
    let rising = codes.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((12..52).contains(&rising), "{rising} of 63 go up: codes tell nothing about their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_fails_gives_no_code_away() {
    let world = World::new().await;
    let caller = Caller::system("test");
    let failed = world.store.write(&caller, (), |tx, ()| {
        Box::pin(async move {
            commands::mint(tx, workspace(1), NewCode::default()).await?;
            Err::<(), _>(CodeError::NotFound)
        })
    });
    assert!(failed.await.is_err());
    assert_eq!(queries::list(&mut world.store.read(), workspace(1), &Filter::default(), None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_found_by_name_tag_state_and_the_beginning_of_the_code() {
    let world = World::new().await;
    let named =
        |name: &str, tags: &[&str]| NewCode { name: Name::parse(name).unwrap(), tags: Tags::parse(tags).unwrap(), ..NewCode::default() };
    let door = world.mint(named("Tür 100%", &["west"])).await;
    world.store.clock().advance(Duration::from_secs(1));
    let shelf = world.mint(NewCode { destination: Some(card(1)), ..named("Shelf", &["west", "cold"]) }).await;
    let find = async |filter: Filter| {
        let codes = queries::list(&mut world.store.read(), workspace(1), &filter, None, 10).await.unwrap();
        codes.into_iter().map(|code| code.code).collect::<Vec<_>>()
    };
    let search = |text: &str| Filter { search: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(find(Filter::default()).await, [shelf.code, door.code], "newest first");
    assert_eq!(find(search("TÜR")).await, [door.code]);
    assert_eq!(find(search("0%")).await, [door.code]);
    assert_eq!(find(search("%")).await, [door.code]);
    assert_eq!(find(search("_")).await, []);
    assert_eq!(find(search(&shelf.code.to_string().to_lowercase()[..6])).await, [shelf.code]);
    assert_eq!(find(search(&door.code.to_string())).await, [door.code]);
    assert_eq!(find(Filter { tag: Some("west".to_owned()), ..Filter::default() }).await, [shelf.code, door.code]);
    assert_eq!(find(Filter { tag: Some("cold".to_owned()), ..search("she") }).await, [shelf.code]);
    assert_eq!(find(Filter { state: Some("minted".to_owned()), ..Filter::default() }).await, [door.code]);
    let edit = Edit { tags: Some(Tags::parse(&["east"]).unwrap()), ..Edit::default() };
    unit!(world, (shelf.code, edit), |tx, (code, edit)| commands::edit(tx, workspace(1), code, edit)).unwrap();
    assert_eq!(find(Filter { tag: Some("west".to_owned()), ..Filter::default() }).await, [door.code]);
    assert_eq!(find(Filter { tag: Some("east".to_owned()), ..Filter::default() }).await, [shelf.code]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_of_a_limit_counts_towards_the_next() {
    let world = World::new().await;
    let code = world.mint(NewCode { scan_limit: Some(10), ..NewCode::default() }).await.code;
    store::statements! { USE_SCANS = "update codes set scans_left = scans_left - 4 where workspace = $1 and code = $2"; }
    let number = code.number() as i64;
    unit!(world, number, |tx, number| async {
        tx.execute(&USE_SCANS, store::params![&workspace(1), number]).await.map_err(CodeError::from)
    })
    .unwrap();
    for (limit, left) in [(Some(12), Some(8)), (Some(3), Some(0)), (Some(6), Some(3)), (None, None), (Some(5), Some(5))] {
        let edit = Edit { scan_limit: Some(limit), ..Edit::default() };
        let edited = unit!(world, (code, edit), |tx, (code, edit)| commands::edit(tx, workspace(1), code, edit)).unwrap();
        // A limit below what was used leaves nothing; what was used beyond it is forgotten.
        assert_eq!((edited.scan_limit, edited.scans_left), (limit, left), "{limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codes_switches_follow_its_workspace_until_it_has_its_own() {
    let world = World::new().await;
    let plain = world.mint(NewCode::default()).await.code;
    let own = RecordingChoice { address: Some(false), place: None, device: Some(true) };
    let private = world.mint(NewCode { recording: own, ..NewCode::default() }).await.code;
    let all = Recording { address: true, place: false, device: false };
    unit!(world, all, |tx, all| commands::set_recording(tx, workspace(1), all)).unwrap();
    let recorded =
        async |code| queries::resolve_everywhere(&mut world.store.read(), code).await.unwrap().map(|resolved| resolved.recording).unwrap();
    assert_eq!(recorded(plain).await, all);
    assert_eq!(recorded(private).await, Recording { address: false, place: false, device: true });
    let edit = Edit { record_address: Some(None), ..Edit::default() };
    unit!(world, (private, edit), |tx, (code, edit)| commands::edit(tx, workspace(1), code, edit)).unwrap();
    assert_eq!(recorded(private).await, Recording { address: true, place: false, device: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_given_to_the_page_while_the_code_is_live_and_old_ones_are_forgotten() {
    let world = World::new().await;
    let code = world.mint(NewCode::default()).await.code;
    let mut requests = Vec::new();
    for n in 0..12 {
        let parameters = Parameters::new(serde_json::Map::from_iter([("n".to_owned(), n.into())])).unwrap();
        let page = TargetUrl::parse_page("https://example.com/app", PUBLIC_URL).unwrap();
        let bound = unit!(world, (code, page, parameters), |tx, (code, page, parameters)| async move {
            commands::bind_page(tx, workspace(1), code, page, &parameters).await
        })
        .unwrap();
        let Some(Destination::Page { request, .. }) = bound.state.destination().cloned() else { panic!("it leads to a page") };
        requests.push(request);
        world.store.clock().advance(Duration::from_millis(1));
    }
    let ask = async |n: usize| queries::parameters_everywhere(&mut world.store.read(), requests[n]).await.unwrap();
    assert_eq!(ask(11).await.unwrap().parameters, r#"{"n":11}"#);
    assert_eq!(ask(2).await.unwrap().parameters, r#"{"n":2}"#);
    assert_eq!(ask(1).await, None);
    unit!(world, code, |tx, code| commands::pause(tx, workspace(1), code)).unwrap();
    assert_eq!(ask(11).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_edits_of_one_version_at_once_one_wins() {
    let world = World::new().await;
    let code = world.mint(NewCode::default()).await.code;
    let edit = |name: &str| {
        let (store, edit) = (world.store.clone(), Edit { version: Some(1), name: Some(Name::parse(name).unwrap()), ..Edit::default() });
        async move { store.write(&key(1), (code, edit), |tx, (code, edit)| Box::pin(asked::edit(tx, code, edit))).await }
    };
    let (one, other) = tokio::join!(edit("one"), edit("other"));
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1);
    assert!([one, other].iter().any(|result| matches!(result, Err(CodeError::Changed))));
}
