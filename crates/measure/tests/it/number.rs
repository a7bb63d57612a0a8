use parlance_measure::three_digits;

#[test]
fn numbers_have_three_significant_digits() {
    let numbers = [1_234_567.8, 999.0, 15_000.0, 12.34, 1.5, 0.5, 0.01234, 0.0, -1_234.0];
    let expected = ["1,234,568", "999", "15,000", "12.3", "1.5", "0.5", "0.0123", "0", "-1,234"];
    assert_eq!(numbers.map(three_digits), expected);
}
