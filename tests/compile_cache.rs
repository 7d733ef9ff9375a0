//! The cache of compiled components: what it finds, who may have written it,
//! and how much it keeps.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openline_core::config::ServerConfig;
use openline_engine::LoadError;
use openline_engine::alias::Alias;
use openline_engine::runtime::{Runtime, RuntimeOptions};

use crate::components::{config, echo, renamed, runtime};

/// The only file of a cache, with the identity of its last write.
fn cached(folder: &Path) -> (PathBuf, u64) {
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let [path] = paths.as_slice() else {
        panic!("not one file: {paths:?}");
    };
    assert!(path.extension().is_some_and(|ending| ending == "compiled"));
    (path.clone(), fs::metadata(path).unwrap().ino())
}

#[tokio::test]
async fn a_component_is_compiled_once_and_then_found_in_the_cache() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/cache");
    let first = runtime(Some(folder.clone()));
    first.load_alone(&config(), echo()).await.unwrap();
    let (path, made) = cached(&folder);
    // It holds code that the host will run, so no other user may write there.
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Neither this host nor another writes it again.
    first.load_alone(&config(), echo()).await.unwrap();
    runtime(Some(folder.clone()))
        .load_alone(&config(), echo())
        .await
        .unwrap();
    assert_eq!(cached(&folder), (path.clone(), made));
    // This file is really loaded: if it has another component's content, that
    // component runs.
    let other = tempfile::tempdir().unwrap();
    let trap = fs::read(openline_guests::FAULT_TRAP).unwrap();
    let second = runtime(Some(other.path().into()));
    second.load_alone(&config(), trap).await.unwrap();
    fs::copy(cached(other.path()).0, &path).unwrap();
    let function = Alias::to(first.load_alone(&config(), echo()).await.unwrap());
    let request = openline_core::event::UpgradeRequest {
        uri: "/tested?at=upgrade".into(),
        ..Default::default()
    };
    let failed = function.upgrade(request).await.unwrap_err();
    assert_eq!(failed.to_string(), "function fault: trap");
}

#[tokio::test]
async fn a_cache_that_is_removed_while_the_host_runs_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/cache");
    let runtime = runtime(Some(folder.clone()));
    for _ in 0..2 {
        runtime.load_alone(&config(), echo()).await.unwrap();
        let (path, made) = cached(&folder);
        runtime.load_alone(&config(), echo()).await.unwrap();
        assert_eq!(cached(&folder), (path, made), "it was found");
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_dir_all(parent.path().join("a")).unwrap();
    }
    // Made again by another user, writable by others, or leading elsewhere.
    fs::create_dir(parent.path().join("a")).unwrap();
    make(&folder, 0o777);
    runtime.load_alone(&config(), echo()).await.unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir_all(&folder).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &folder).unwrap();
    runtime.load_alone(&config(), echo()).await.unwrap();
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_file_in_the_cache_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(Some(folder.path().into()));
    runtime.load_alone(&config(), echo()).await.unwrap();
    let (path, _) = cached(folder.path());
    let whole = fs::read(&path).unwrap();
    let mut last_bit = whole.clone();
    *last_bit.last_mut().unwrap() ^= 1;
    let mut digest = whole.clone();
    digest[0] ^= 1;
    let torn = whole[..whole.len() / 2].to_vec();
    for damaged in [
        Vec::new(),
        vec![0; 10],
        vec![0; 5000],
        torn,
        digest,
        last_bit,
    ] {
        // As after a crash, or on a bad disk.
        fs::write(&path, &damaged).unwrap();
        let (_, before) = cached(folder.path());
        runtime.load_alone(&config(), echo()).await.unwrap();
        let (_, made) = cached(folder.path());
        assert_ne!(before, made, "it is not written anew");
        assert_eq!(fs::read(&path).unwrap().len(), whole.len());
        runtime.load_alone(&config(), echo()).await.unwrap();
        assert_eq!(cached(folder.path()).1, made);
    }
}

#[tokio::test]
async fn a_whole_file_of_other_settings_in_the_cache_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(Some(folder.path().into()));
    runtime.load_alone(&config(), echo()).await.unwrap();
    let (path, _) = cached(folder.path());
    let right = fs::read(&path).unwrap();
    // Compiled for fuel, as another version might: only the engine's own check
    // can tell the two apart.
    let other = tempfile::tempdir().unwrap();
    let mut metered = config();
    metered.limit.fuel_per_event = 10_000_000;
    let second = self::runtime(Some(other.path().into()));
    second.load_alone(&metered, echo()).await.unwrap();
    fs::copy(cached(other.path()).0, &path).unwrap();
    assert_ne!(fs::read(&path).unwrap(), right);
    let (_, before) = cached(folder.path());
    runtime.load_alone(&config(), echo()).await.unwrap();
    assert_ne!(cached(folder.path()).1, before, "it is not written anew");
    assert_eq!(fs::read(&path).unwrap().len(), right.len());
}

#[tokio::test]
async fn a_cache_that_cannot_be_had_is_done_without() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let runtime = runtime(Some(file.join("cache")));
    runtime.load_alone(&config(), echo()).await.unwrap();
    // A file that disappears meanwhile must not stop it either.
    let folder = parent.path().join("cache");
    let runtime = self::runtime(Some(folder.clone()));
    fs::remove_dir(&folder).unwrap();
    runtime.load_alone(&config(), echo()).await.unwrap();
}

/// How many files a cache has after a component was loaded with it.
async fn files_after_loading(folder: &Path) -> usize {
    let runtime = runtime(Some(folder.into()));
    runtime.load_alone(&config(), echo()).await.unwrap();
    fs::read_dir(folder).unwrap().count()
}

fn make(folder: &Path, mode: u32) {
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_cache_that_others_could_change_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    // By writing in the folder itself, or by replacing the folder.
    make(&path("open"), 0o770);
    let files = files_after_loading(&path("open")).await;
    assert_eq!(files, 0, "others may write to it");
    make(&path("above"), 0o777);
    make(&path("above/cache"), 0o700);
    let files = files_after_loading(&path("above/cache")).await;
    assert_eq!(files, 0, "others may write to the folder above it");
    // A link to such a folder is no better.
    std::os::unix::fs::symlink(path("above"), path("link")).unwrap();
    assert_eq!(files_after_loading(&path("link/cache")).await, 0);
    // In a sticky folder, users can change only their own entries, and this one
    // is ours.
    make(&path("sticky"), 0o1777);
    make(&path("sticky/cache"), 0o700);
    assert_eq!(files_after_loading(&path("sticky/cache")).await, 1);
    std::os::unix::fs::symlink(path("sticky/cache"), path("good")).unwrap();
    assert_eq!(files_after_loading(&path("good")).await, 1);
}

#[tokio::test]
async fn a_cache_of_another_user_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let other = Some(65_534);
    let path = |name: &str| parent.path().join(name);
    make(&path("theirs"), 0o755);
    if std::os::unix::fs::chown(path("theirs"), other, None).is_err() {
        println!("skipped: only root can give a folder to another user");
        return;
    }
    let files = files_after_loading(&path("theirs")).await;
    assert_eq!(files, 0, "it is another user's");
    make(&path("above"), 0o755);
    make(&path("above/cache"), 0o700);
    std::os::unix::fs::chown(path("above"), other, None).unwrap();
    assert_eq!(files_after_loading(&path("above/cache")).await, 0);
    // A file of another user in our folder is refused as well.
    make(&path("ours"), 0o700);
    assert_eq!(files_after_loading(&path("ours")).await, 1);
    let (file, before) = cached(&path("ours"));
    std::os::unix::fs::chown(&file, other, None).unwrap();
    assert_eq!(files_after_loading(&path("ours")).await, 1);
    assert_ne!(cached(&path("ours")).1, before, "it is not written anew");
}

#[tokio::test]
async fn a_file_in_the_cache_that_others_could_have_written_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    files_after_loading(folder.path()).await;
    let (file, before) = cached(folder.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    files_after_loading(folder.path()).await;
    let (_, made) = cached(folder.path());
    assert_ne!(made, before, "it is not written anew");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    // A link in place of the file is not followed.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    fs::rename(&file, &copy).unwrap();
    std::os::unix::fs::symlink(&copy, &file).unwrap();
    files_after_loading(folder.path()).await;
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
}

/// A runtime whose cache has a bound.
fn bounded(folder: &Path, cache_bytes: u64) -> Arc<Runtime> {
    let options = RuntimeOptions {
        instances: 4,
        cache_bytes: usize::try_from(cache_bytes).unwrap(),
        ..RuntimeOptions::new(&ServerConfig::default(), Some(folder.into()))
    };
    Arc::new(Runtime::new(options).unwrap())
}

async fn load(runtime: &Arc<Runtime>, component: &str) {
    let bytes = fs::read(component).unwrap();
    runtime.load_alone(&config(), bytes).await.unwrap();
}

/// A component's file, if the cache has it.
fn file_of(folder: &Path, component: &str) -> Option<PathBuf> {
    let digest = openline_core::digest::Digest::of(&fs::read(component).unwrap()).to_string();
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let found = entries.find(|entry| name(entry).starts_with(&digest[..32]));
    found.map(|entry| entry.path())
}

#[tokio::test]
async fn past_its_bytes_the_cache_forgets_what_was_not_needed_for_the_longest_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = [
        openline_guests::ECHO,
        openline_guests::FAULT_TRAP,
        openline_guests::FAULT_CLOSE,
    ];
    let unbounded = runtime(Some(folder.into()));
    for component in all {
        load(&unbounded, component).await;
    }
    let sizes = all.map(|component| {
        let path = file_of(folder, component).unwrap();
        fs::metadata(path).unwrap().len()
    });
    let total: u64 = sizes.iter().sum();
    // All three fit exactly: the last one is written again next to the others.
    fs::remove_file(file_of(folder, all[2]).unwrap()).unwrap();
    load(&bounded(folder, total), all[2]).await;
    assert!(
        all.iter()
            .all(|component| file_of(folder, component).is_some())
    );
    // With a byte less they do not fit. The first one is used meanwhile and
    // stays; the second is removed.
    for (component, second) in all.iter().zip([1, 2, 3]) {
        let path = file_of(folder, component).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        file.set_modified(then).unwrap();
    }
    let less = bounded(folder, total - 1);
    load(&less, all[0]).await;
    fs::remove_file(file_of(folder, all[2]).unwrap()).unwrap();
    load(&less, all[2]).await;
    let kept = all.map(|component| file_of(folder, component).is_some());
    assert_eq!(kept, [true, false, true]);
}

#[tokio::test]
async fn what_is_refused_is_not_cached_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(Some(folder.path().into()));
    let wrong = renamed(&echo(), "messages", "mezzages");
    for _ in 0..2 {
        let error = runtime
            .load_alone(&config(), wrong.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, LoadError::WrongTypes(_)), "{error}");
    }
    // Fuel is a setting, so each variant has a file of its own.
    let mut metered = config();
    metered.limit.fuel_per_event = 10_000_000;
    runtime.load_alone(&metered, echo()).await.unwrap();
    runtime.load_alone(&config(), echo()).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
