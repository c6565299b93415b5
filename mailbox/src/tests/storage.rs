//! The mail folder: persistence, permissions, the limit, and files that are damaged, foreign or unfinished.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{super::MAX_MAILS, Inbox, TempFolder, TestInbox, new_id};

#[tokio::test]
async fn mails_and_envelopes_survive_a_restart() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("first").await;
    inbox.send("second").await;
    let before = inbox.json("/email").await;
    inbox.stop().await;
    let inbox = TestInbox::start(&folder.0).await;
    assert_eq!(inbox.json("/email").await, before);
    assert_eq!(before[0]["envelope"]["to"][0]["address"], "ada@example.com");
    assert_eq!(before[0]["envelope"]["remoteAddress"], "127.0.0.1");
    inbox.stop().await;
}

#[tokio::test]
async fn folder_and_files_are_private_to_the_owner() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("secret").await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.0), mode(&folder.eml_files()[0])), (0o700, 0o600));
    inbox.stop().await;
}

#[tokio::test]
async fn oldest_mails_are_deleted_above_the_limit() {
    let folder = TempFolder::new();
    let storage = Inbox::open(&folder.0).unwrap();
    let ids: Vec<_> = (0..MAX_MAILS + 3).map(|_| new_id()).collect();
    for id in &ids {
        fs::write(folder.0.join(format!("{id}.eml")), "Subject: x\r\n\r\n").unwrap();
    }
    drop(storage);
    let inbox = TestInbox::start(&folder.0).await;
    assert_eq!(folder.eml_files().len(), MAX_MAILS);
    inbox.send("newest").await;
    let mails = inbox.json("/email").await;
    let mails = mails.as_array().unwrap();
    assert_eq!((mails.len(), folder.eml_files().len()), (MAX_MAILS, MAX_MAILS));
    assert_eq!(mails[0]["id"], ids[4].to_string());
    assert_eq!(mails[MAX_MAILS - 1]["subject"], "newest");
    inbox.stop().await;
}

#[tokio::test]
async fn unreadable_file_does_not_hide_other_mails() {
    let folder = TempFolder::new();
    drop(Inbox::open(&folder.0).unwrap());
    let garbage = new_id();
    let directory = new_id();
    let foreign = folder.0.join("notes.eml");
    fs::write(folder.0.join(format!("{garbage}.eml")), b"\0\xff\xfe\r\n\r\n").unwrap();
    fs::create_dir(folder.0.join(format!("{directory}.eml"))).unwrap();
    fs::write(&foreign, "not written by the inbox").unwrap();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("readable").await;
    assert_eq!(inbox.subjects().await, ["", "readable"]);
    assert_eq!(inbox.get(&format!("/email/{directory}")).await.status(), 404);
    fs::remove_dir(folder.0.join(format!("{directory}.eml"))).unwrap();
    assert_eq!(inbox.delete("/email/all").await.status(), 200);
    assert_eq!(folder.eml_files(), [foreign]);
    inbox.stop().await;
}

#[tokio::test]
async fn unfinished_files_are_deleted_at_start() {
    let folder = TempFolder::new();
    drop(Inbox::open(&folder.0).unwrap());
    let unfinished = folder.0.join(format!("{}.part", new_id()));
    fs::write(&unfinished, "Subject: ha").unwrap();
    let inbox = TestInbox::start(&folder.0).await;
    assert!(!unfinished.exists());
    assert_eq!(inbox.subjects().await, Vec::<String>::new());
    inbox.stop().await;
}

#[test]
fn error_names_the_unusable_folder() {
    let folder = TempFolder::new();
    fs::write(&folder.0, "a file").unwrap();
    let error = format!("{:#}", Inbox::open(&folder.0).err().unwrap());
    assert!(error.contains(folder.0.to_str().unwrap()), "{error}");
    fs::remove_file(&folder.0).unwrap();
}
