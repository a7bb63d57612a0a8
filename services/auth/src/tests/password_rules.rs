use super::*;

fn is_allowed(rules: &PasswordRules, password: &str, username: &str) -> bool {
    let folded = Username::parse(username.to_owned()).unwrap().folded();
    rules.check(&Password::parse(password.to_owned()).unwrap(), &folded).is_ok()
}

#[test]
fn common_passwords_and_the_username_are_refused_in_any_case() {
    let rules = PasswordRules::new(true);
    for password in ["password", "PassWord1", "QWERTYUIOP", "iloveyou", "annamaria", "AnnaMaria"] {
        assert!(!is_allowed(&rules, password, "annaMARIA"), "{password}");
    }
    assert!(!is_allowed(&rules, "STRASSEN", "Straßen"));
    for password in ["correct horse", "annamaria1", "password of anna"] {
        assert!(is_allowed(&rules, password, "annamaria"), "{password}");
    }
}

#[test]
fn without_the_setting_nothing_is_common() {
    let rules = PasswordRules::new(false);
    assert!(is_allowed(&rules, "password", "annamaria"));
    assert!(is_allowed(&rules, "annamaria", "annamaria"));
}

#[test]
fn every_listed_password_is_one_that_could_be_chosen() {
    for listed in COMMON_PASSWORDS.lines() {
        assert_eq!(listed, listed.to_lowercase());
        assert!(Password::parse(listed.to_owned()).is_ok(), "{listed}");
    }
}
