//! A running installation is copied, the copy is restored elsewhere, and every damage is noticed.

use kernel::{Caller, Entropy};
use store::testing::store_with;
use store::{Engine, Reads, Store, StoreError, backup, params};

store::statements! {
    INSERT = "insert into store_probe (id, number) values ($1, $2)";
    COUNT = "select count(*) from store_probe";
}

async fn count(store: &Store) -> i64 {
    store.read().row(&COUNT, &[], |row| row.get(0)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_installation_is_whole_and_restores() {
    let store = store_with(|config| config.database_url = None).await;
    assert_eq!(store.engine(), Engine::Sqlite);
    let writer: Store = (*store).clone();
    let writing = tokio::spawn(async move {
        for i in 0..2_000_i64 {
            let row = (format!("row {i}"), i);
            writer
                .write(&Caller::system("test"), row, |tx, (id, n)| Box::pin(async move { tx.execute(&INSERT, params![id, n]).await }))
                .await?;
        }
        Ok::<_, StoreError>(())
    });
    while count(&store).await < 200 {
        tokio::task::yield_now().await;
    }
    let folder = store.folder().join("copies");
    std::fs::create_dir(&folder).unwrap();
    let (data, now) = (store.folder().to_owned(), store.clock().now());
    for key in [None, Some([9; 32])] {
        let file = folder.join(format!("backup{}", u8::from(key.is_some())));
        let before = count(&store).await;
        let stage = |stage: &std::path::Path| {
            std::fs::create_dir(stage.join("journal"))?;
            std::fs::write(stage.join("journal/1"), b"scans")
        };
        let made = backup::backup(&data, &file, key.as_ref(), now, &Entropy::system(), stage).unwrap();
        assert!(made.files.iter().any(|f| f.path == "journal/1"));
        assert!(
            backup::backup(&data, &file, None, now, &Entropy::system(), |_| Ok(())).is_err(),
            "an existing backup is never overwritten"
        );

        let target = folder.join(format!("restored{}", u8::from(key.is_some())));
        let restored = backup::restore(&file, &target, key.as_ref()).unwrap();
        assert_eq!(restored, made);
        assert_eq!(std::fs::read(target.join("journal/1")).unwrap(), b"scans");
        let mut config = store.config();
        config.folder = target.clone();
        let without_its_key = Store::open(config.clone()).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(without_its_key.contains("is not the key"), "{without_its_key}");
        std::fs::copy(store.folder().join("secret.key"), target.join("secret.key")).unwrap();
        let copy = Store::open(config).await.unwrap();
        assert!(count(&copy).await >= before, "everything that was answered before the backup is in it");
        copy.close().await;
        assert!(backup::restore(&file, &target, key.as_ref()).is_err(), "an installation is never overwritten");

        if key.is_some() {
            assert!(backup::restore(&file, &folder.join("no"), None).is_err(), "it is encrypted");
            assert!(backup::restore(&file, &folder.join("no"), Some(&[8; 32])).is_err(), "it has another key");
        }
        let whole = std::fs::read(&file).unwrap();
        for (name, damaged) in [
            ("cut", &whole[..whole.len() * 2 / 3]),
            (
                "flipped",
                &{
                    let mut flipped = whole.clone();
                    let middle = flipped.len() / 2;
                    flipped[middle] ^= 0x40;
                    flipped
                }[..],
            ),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, damaged).unwrap();
            let target = folder.join(format!("from {name} {}", u8::from(key.is_some())));
            assert!(backup::restore(&path, &target, key.as_ref()).is_err(), "{name}");
            assert!(!target.join("tessera.db").exists() && !target.join("restoring").exists());
        }
    }
    backup::check(&data).unwrap();
    writing.await.unwrap().unwrap();
    assert!(!folder.join("backup0.part").exists() && !folder.join("backup0.part.d").exists());
}
