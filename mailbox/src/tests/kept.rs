//! What stays in the folder, and what does not.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{super::MAX_MAILS, House, Inbox, Place, new_id};

#[tokio::test]
async fn mails_outlive_the_process_with_their_envelopes() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    house.send("first").await;
    house.send("second").await;
    let before = house.json("/email").await;
    house.stop().await;
    let house = House::open(&place.0).await;
    assert_eq!(house.json("/email").await, before);
    assert_eq!(before[0]["envelope"]["to"][0]["address"], "ada@example.com");
    assert_eq!(before[0]["envelope"]["remoteAddress"], "127.0.0.1");
    house.stop().await;
}

#[tokio::test]
async fn nobody_else_on_this_machine_reads_them() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    house.send("secret").await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.0), mode(&place.eml_files()[0])), (0o700, 0o600));
    house.stop().await;
}

#[tokio::test]
async fn the_oldest_mail_goes_when_there_are_too_many() {
    let place = Place::new();
    let inbox = Inbox::open(&place.0).unwrap();
    let ids: Vec<_> = (0..MAX_MAILS + 3).map(|_| new_id()).collect();
    for id in &ids {
        fs::write(place.0.join(format!("{id}.eml")), "Subject: x\r\n\r\n").unwrap();
    }
    drop(inbox);
    let house = House::open(&place.0).await;
    assert_eq!(place.eml_files().len(), MAX_MAILS);
    house.send("newest").await;
    let mails = house.json("/email").await;
    let mails = mails.as_array().unwrap();
    assert_eq!((mails.len(), place.eml_files().len()), (MAX_MAILS, MAX_MAILS));
    assert_eq!(mails[0]["id"], ids[4].to_string());
    assert_eq!(mails[MAX_MAILS - 1]["subject"], "newest");
    house.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_nothing() {
    let place = Place::new();
    drop(Inbox::open(&place.0).unwrap());
    let (garbage, folder, foreign) = (new_id(), new_id(), place.0.join("notes.eml"));
    fs::write(place.0.join(format!("{garbage}.eml")), b"\0\xff\xfe\r\n\r\n").unwrap();
    fs::create_dir(place.0.join(format!("{folder}.eml"))).unwrap();
    fs::write(&foreign, "not ours").unwrap();
    let house = House::open(&place.0).await;
    house.send("readable").await;
    assert_eq!(house.subjects().await, ["", "readable"]);
    assert_eq!(house.get(&format!("/email/{folder}")).await.status(), 404);
    fs::remove_dir(place.0.join(format!("{folder}.eml"))).unwrap();
    assert_eq!(house.delete("/email/all").await.status(), 200);
    assert_eq!(place.eml_files(), [foreign]);
    house.stop().await;
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_gone() {
    let place = Place::new();
    drop(Inbox::open(&place.0).unwrap());
    let unfinished = place.0.join(format!("{}.part", new_id()));
    fs::write(&unfinished, "Subject: ha").unwrap();
    let house = House::open(&place.0).await;
    assert!(!unfinished.exists());
    assert_eq!(house.subjects().await, Vec::<String>::new());
    house.stop().await;
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let place = Place::new();
    fs::write(&place.0, "a file").unwrap();
    let error = format!("{:#}", Inbox::open(&place.0).err().unwrap());
    assert!(error.contains(place.0.to_str().unwrap()), "{error}");
    fs::remove_file(&place.0).unwrap();
}
