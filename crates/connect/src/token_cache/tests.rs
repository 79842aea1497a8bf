use std::time::SystemTime;

use countersign_core::endpoint::Endpoint;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};

use super::{MAX_AGE, MAX_ENTRIES, Token, TokenCache};
use crate::clock::ManualClock;
use crate::testing::{Loads, credentials, noon, scripted_cache, seconds};

fn endpoint() -> Endpoint {
    let host = "mydb.123456789012.us-east-1.rds.amazonaws.com".parse().unwrap();
    Endpoint { engine: Engine::Postgres, host, port: 5432, region: "us-east-1".parse().unwrap() }
}

fn user(name: &str) -> DbUser {
    name.parse().unwrap()
}

/// A cache over credentials with this expiry.
fn tokens(expires: Option<SystemTime>) -> (ManualClock, TokenCache, Loads) {
    let manual = ManualClock::new(noon());
    let (credentials_cache, loads) =
        scripted_cache(&manual, move |number| Ok(credentials(number, expires)));
    let tokens = TokenCache::new(credentials_cache, manual.clock());
    (manual, tokens, loads)
}

async fn token(tokens: &TokenCache, name: &str) -> Token {
    tokens.token(&endpoint(), &user(name)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reused_for_ten_minutes() {
    let (manual, tokens, _) = tokens(None);
    let first = token(&tokens, "jane").await;
    assert_eq!((first.minted_at(), first.expires_at()), (noon(), noon() + MAX_AGE));
    assert!(
        first.expose().starts_with("mydb.123456789012.us-east-1.rds.amazonaws.com:5432/?"),
        "{}",
        first.expose()
    );
    assert!(first.expose().contains("DBUser=jane"));
    manual.set(noon() + MAX_AGE - seconds(1));
    assert_eq!(token(&tokens, "jane").await.expose(), first.expose());
    manual.advance(seconds(1));
    let second = token(&tokens, "jane").await;
    assert_ne!(second.expose(), first.expose());
    assert_eq!(second.minted_at(), noon() + MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_with_its_credentials() {
    let (_, tokens, _) = tokens(Some(noon() + seconds(200)));
    assert_eq!(token(&tokens, "jane").await.expires_at(), noon() + seconds(200));
    let (manual, tokens, loads) = self::tokens(Some(noon() + seconds(3600)));
    manual.set(noon() + seconds(3599));
    let last = token(&tokens, "jane").await;
    assert_eq!(last.expires_at(), noon() + seconds(3600));
    manual.advance(seconds(1));
    assert!(loads.count() > 0);
    let failure = tokens.token(&endpoint(), &user("jane")).await.unwrap_err();
    assert_eq!(failure.class, Class::CredentialsExpired, "the source returns expired ones");
}

#[tokio::test(start_paused = true)]
async fn a_token_minted_in_the_future_is_not_reused() {
    let (manual, tokens, _) = tokens(None);
    let first = token(&tokens, "jane").await;
    manual.set(noon() - seconds(60));
    let second = token(&tokens, "jane").await;
    assert_eq!(second.minted_at(), noon() - seconds(60));
    assert_ne!(second.expose(), first.expose());
}

#[tokio::test(start_paused = true)]
async fn rotated_credentials_sign_new_tokens() {
    let (manual, tokens, _) = tokens(None);
    assert_eq!(token(&tokens, "jane").await.access_key_id().as_str(), "ASIAEXAMPLE1");
    manual.advance(seconds(1));
    tokens.credentials().invalidate();
    let rotated = token(&tokens, "jane").await;
    assert_eq!(
        (rotated.access_key_id().as_str(), rotated.minted_at()),
        ("ASIAEXAMPLE2", noon() + seconds(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_removed_once() {
    let (manual, tokens, loads) = tokens(None);
    let first = token(&tokens, "jane").await;
    manual.advance(seconds(2));
    tokens.reject(&endpoint(), &user("jane"), &first);
    assert!(tokens.entries().is_empty());
    let second = token(&tokens, "jane").await;
    assert_eq!(
        (second.access_key_id().as_str(), loads.count()),
        ("ASIAEXAMPLE2", 2),
        "the credentials are reloaded"
    );
    manual.advance(seconds(2));
    // Concurrent logins report the same token later.
    tokens.reject(&endpoint(), &user("jane"), &first);
    assert_eq!(token(&tokens, "jane").await.expose(), second.expose());
    assert_eq!(loads.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_rejections_reloads_the_credentials_once() {
    let (manual, tokens, loads) = tokens(None);
    let first = token(&tokens, "jane").await;
    manual.advance(seconds(2));
    for _ in 0..100 {
        tokens.reject(&endpoint(), &user("jane"), &first);
    }
    token(&tokens, "jane").await;
    manual.advance(seconds(2));
    token(&tokens, "jane").await;
    assert_eq!(loads.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_user_and_endpoint_has_its_own_token() {
    let (_, tokens, loads) = tokens(None);
    let jane = token(&tokens, "jane").await;
    assert_ne!(jane.expose(), token(&tokens, "john").await.expose());
    let other = Endpoint { port: 5433, ..endpoint() };
    assert_ne!(jane.expose(), tokens.token(&other, &user("jane")).await.unwrap().expose());
    assert_eq!((tokens.entries().len(), loads.count()), (3, 1));
}

/// Clients may choose the user, so an unbounded cache could fill the memory.
#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_and_evicts_the_least_recently_used() {
    let (manual, tokens, _) = tokens(None);
    token(&tokens, "in_use").await;
    token(&tokens, "evicted").await;
    manual.advance(seconds(1));
    for number in 0..MAX_ENTRIES {
        token(&tokens, &format!("user{number}")).await;
        token(&tokens, "in_use").await;
    }
    let kept = tokens.entries();
    assert_eq!(kept.len(), MAX_ENTRIES);
    let minted =
        |name: &str| kept.iter().find(|one| one.user == user(name)).map(|one| one.minted_at);
    assert_eq!(minted("in_use"), Some(noon()));
    assert_eq!(minted("evicted"), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_user_and_endpoint() {
    let manual = ManualClock::new(noon());
    let (credentials_cache, _) =
        scripted_cache(&manual, |_| Err(Failure::new(Class::NoCredentials, "not found")));
    let failure = TokenCache::new(credentials_cache, manual.clock())
        .token(&endpoint(), &user("jane"))
        .await
        .unwrap_err();
    assert_eq!(failure.class, Class::NoCredentials);
    assert_eq!(
        failure.detail,
        "for jane at mydb.123456789012.us-east-1.rds.amazonaws.com:5432: not found"
    );
}

#[tokio::test(start_paused = true)]
async fn debug_output_hides_tokens() {
    let (_, tokens, _) = tokens(None);
    let token = token(&tokens, "jane").await;
    let shown = format!("{token:?} {tokens:?} {:?}", tokens.entries());
    assert!(!shown.contains("Signature") && !shown.contains("hidden"), "{shown}");
}
