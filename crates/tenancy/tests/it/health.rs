//! The names of health are part of the contract with whoever stores or shows them.

use tenancy::Health;

#[track_caller]
fn check(health: Health, text: &str, serves: bool) {
    assert_eq!(health.to_string(), text);
    assert_eq!(health.as_str(), text);
    assert_eq!(text.parse(), Ok(health));
    assert_eq!(health.serves(), serves);
    assert!(Health::ALL.contains(&health));
}

#[test]
fn every_state_has_its_text_and_its_traffic() {
    check(Health::Pending, "pending", false);
    check(Health::Healthy, "healthy", true);
    check(Health::Unverified, "unverified", true);
    check(Health::Disabled, "disabled", false);
    assert_eq!(Health::ALL.len(), 4);
}

#[test]
fn other_texts_are_no_health_and_the_error_lists_the_names() {
    for text in ["", "Healthy", "healthy ", "suspended", "disabled\0"] {
        let message = text.parse::<Health>().map_err(|error| error.to_string());
        let lists_all = |message: &String| Health::ALL.iter().all(|health| message.contains(health.as_str()));
        assert!(message.as_ref().is_err_and(lists_all), "{text:?} gave {message:?}");
    }
}

#[test]
fn display_keeps_to_the_width_it_is_given() {
    assert_eq!(format!("{:>9}|", Health::Healthy), "  healthy|");
}
