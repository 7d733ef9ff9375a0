//! Data directories whose database file is missing, was never finished, or
//! disappears while in use.

use std::sync::Barrier;

use openline_core::component::Component;

use super::*;

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("store.redb")
}

/// Each state that a killed first start leaves behind, in this release and
/// older ones. Nothing was acknowledged before.
#[tokio::test]
async fn a_first_start_that_was_killed_is_begun_anew() {
    let leftovers: [(&str, Vec<u8>); 4] = [
        ("store.redb", Vec::new()),
        ("store.redb", vec![0; 1 << 20]),
        ("store.redb.unfinished", vec![0; 1 << 20]),
        ("store.redb.unfinished", b"half of a page".to_vec()),
    ];
    for (file, content) in leftovers {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file), content).unwrap();
        let store = Store::open(folder.path(), ROOM).unwrap();
        let chat = store.function(&name("chat"));
        assert_eq!(chat.save_state("room", bytes(9), None).await, Ok(1));
        drop((chat, store));
        assert!(!folder.path().join("store.redb.unfinished").exists());
        let store = Store::open(folder.path(), ROOM).unwrap();
        let kept = store.function(&name("chat")).state("room").await.unwrap();
        assert_eq!(kept.map(|state| state.bytes), Some(bytes(9)));
    }
}

/// An empty database would name none of the components, and the host would
/// remove them.
#[tokio::test]
async fn components_without_their_database_are_damage_and_are_kept() {
    let damages: [fn(&Path); 3] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, b"").unwrap(),
        |file| fs::write(file, vec![0; 1 << 20]).unwrap(),
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), ROOM).unwrap();
        let component = Component::new(bytes(5));
        let digest = component.digest();
        store.put_component(component.clone()).await.unwrap();
        drop(store);
        let whole = fs::read(database(folder.path())).unwrap();
        damage(&database(folder.path()));
        let error = Store::open(folder.path(), ROOM).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("`store.redb`"), "{error}");
        // After the file is put back, everything is there.
        fs::write(database(folder.path()), whole).unwrap();
        let store = Store::open(folder.path(), ROOM).unwrap();
        assert_eq!(store.component(&digest).await, Ok(Some(component)));
    }
}

#[test]
fn a_link_that_leads_nowhere_is_damage_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("disk/store.redb");
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&elsewhere, database(&data)).unwrap();
    let error = Store::open(&data, ROOM).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_link(database(&data)).unwrap(), elsewhere);
}

#[test]
fn what_is_no_file_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(database(folder.path())).unwrap();
    let error = Store::open(folder.path(), ROOM).unwrap_err();
    assert!(error.to_string().contains("is not a file"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(database(folder.path()))
        .status();
    assert!(made.unwrap().success());
    let error = Store::open(folder.path(), ROOM).unwrap_err();
    assert!(error.to_string().contains("is not a file"), "{error}");
}

/// Files that the host would not remove do not count as components.
#[test]
fn a_file_that_is_no_component_does_not_keep_a_store_from_being_made() {
    let folder = tempfile::tempdir().unwrap();
    let components = folder.path().join("components");
    fs::create_dir(&components).unwrap();
    fs::write(components.join(".keep"), b"").unwrap();
    fs::write(components.join("notes.wasm"), b"").unwrap();
    Store::open(folder.path(), ROOM).unwrap();
    assert!(components.join(".keep").exists());
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_not_in_its_place() {
    let above = tempfile::tempdir().unwrap();
    let (data, away) = (above.path().join("data"), above.path().join("away"));
    let store = Store::open(&data, ROOM).unwrap();
    let chat = store.function(&name("chat"));
    assert_eq!(chat.save_state("room", bytes(1), None).await, Ok(1));
    let unavailable = async |why: &str| {
        let error = chat.save_state("room", bytes(2), None).await.unwrap_err();
        assert!(matches!(error, SaveError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    // The folder is moved, and another one is made in its place.
    fs::rename(&data, &away).unwrap();
    unavailable("was moved or removed").await;
    fs::create_dir(&data).unwrap();
    fs::write(database(&data), b"another").unwrap();
    unavailable("was replaced").await;
    assert_eq!(fs::read(database(&data)).unwrap(), b"another");
    // Acknowledged states can be read meanwhile.
    let kept = chat.state("room").await.unwrap().unwrap();
    assert_eq!(kept.bytes, bytes(1));
    // The folder is put back.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&away, &data).unwrap();
    let version = chat.save_state("room", bytes(3), None).await.unwrap();
    drop((chat, store));
    let store = Store::open(&data, ROOM).unwrap();
    let kept = store.function(&name("chat")).state("room").await.unwrap();
    assert_eq!(
        kept.map(|state| (state.version, state.bytes)),
        Some((version, bytes(3)))
    );
    // The folder is removed for good.
    let chat = store.function(&name("chat"));
    fs::remove_dir_all(&data).unwrap();
    let error = chat.save_state("room", bytes(4), None).await.unwrap_err();
    assert!(matches!(error, SaveError::Unavailable(_)), "{error}");
}

#[test]
fn of_two_that_make_it_at_once_one_has_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(2);
        let open = || {
            barrier.wait();
            let opened = Store::open(folder.path(), ROOM);
            barrier.wait();
            opened
        };
        let opened = std::thread::scope(|scope| {
            [scope.spawn(open), scope.spawn(open)].map(|thread| thread.join().unwrap())
        });
        let won = opened.iter().filter(|opened| opened.is_ok()).count();
        assert_eq!(won, 1, "{opened:?}");
        for opened in opened {
            if let Err(error) = opened {
                assert!(matches!(error, OpenError::InUse(_)), "{error}");
            }
        }
    }
}
