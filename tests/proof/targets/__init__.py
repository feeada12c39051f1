"""What is fuzzed: one function for each parser, which takes octets and asserts what must hold for any of them."""
