// Package reasonexample has an example of a refusal for each reason code, for
// docs/reason-codes.md and the tests that hold both to what the rules say. No program
// links it.
package reasonexample
