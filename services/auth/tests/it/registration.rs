//! The settings that limit who registers, and with which password.

use parlance_core::ErrorCode::{RegistrationClosed, UsernameTaken, Validation};

use crate::app::{Auth, PASSWORD, refusal};
use crate::commands::{printed, run};

#[tokio::test]
async fn closed_registration_refuses_every_new_account() {
    let open = Auth::start().await;
    open.register("anna").await;
    let closed =
        Auth::start_on(&open.database_url, open.clock.clone(), &["--registration", "closed"]).await;
    for name in ["berta", "anna"] {
        assert_eq!(refusal(closed.try_register(name, PASSWORD).await), RegistrationClosed);
    }
    assert_eq!(refusal(closed.try_register("berta", "short").await), Validation);
    closed.log_in("anna", PASSWORD).await.unwrap();
    assert_eq!(refusal(open.try_register("anna", PASSWORD).await), UsernameTaken);
}

#[tokio::test]
async fn common_passwords_and_the_username_are_refused_if_the_deployment_says_so() {
    let lax = Auth::start().await;
    lax.try_register("berta", "password").await.unwrap();
    let strict =
        Auth::start_on(&lax.database_url, lax.clock.clone(), &["--refuse-common-passwords"]).await;
    // What was chosen before stays valid.
    strict.log_in("berta", "password").await.unwrap();
    for password in ["PassWord", "1q2w3e4r", "annamaria", "ANNAMARIA"] {
        let registered = strict.try_register("AnnaMaria", password).await;
        assert_eq!(refusal(registered), Validation, "{password}");
    }
    let user = strict.register("AnnaMaria").await;

    let session = strict.log_in("annamaria", PASSWORD).await.unwrap().session_id;
    let output = run(&strict.database_url, &["issue-reset", "annamaria"]).await;
    let code = printed(&output).lines().nth(1).unwrap();
    for password in ["1Q2W3E4R", "annaMARIA"] {
        let changed = strict.change_password(user.id, session, Some(PASSWORD), password).await;
        assert_eq!(refusal(changed), Validation, "{password}");
        assert_eq!(refusal(strict.reset_password(code, password).await), Validation, "{password}");
    }
    strict.reset_password(code, "battery staple").await.unwrap();
}
